// Package plan describes a run as data: a list of steps that can be printed, compared and carried
// out, made before anything is changed.
package plan

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/machine"
)

// Step is one change to the image, as a value with plain fields.
type Step interface {
	// Name identifies the kind of step in logs, events and errors, such as "packages.install".
	Name() string
	// String says in one line what the step will do, without secrets.
	String() string
	// Run carries the step out. A cancelled context ends it early with an error.
	Run(ctx context.Context, m *machine.Machine) error
}

// Asked is a Step that knows what in the config asks for it, such as scripts.postCustomization[1].
type Asked interface{ AskedBy() string }

// Plan is the steps of a run in their order.
type Plan []Step

// Print writes the plan for people, one numbered line a step.
func (p Plan) Print(w io.Writer) {
	for i, s := range p {
		fmt.Fprintf(w, "%3d. %-24s %s\n", i+1, s.Name(), s)
	}
}

// MarshalJSON lists the steps as objects with name and description.
func (p Plan) MarshalJSON() ([]byte, error) {
	type step struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	}
	list := make([]step, len(p))
	for i, s := range p {
		list[i] = step{s.Name(), s.String()}
	}
	return json.Marshal(list)
}

// Problem is a reason found before the run why it would fail.
type Problem struct {
	Step string // which step would fail
	Path string // what in the config asks for it, such as os.users[1].primaryGroup; may be empty
	Text string
	Hint string // what to do; may be empty
	// Later says that something is missing which packages bring: it is no problem yet where the run
	// installs some, and is looked for again behind them.
	Later bool
}

// Checker is a Step that can tell beforehand, without changing anything, what would make it fail on
// this image: a missing program, an unknown service, too little space. It finds everything at once.
type Checker interface {
	Check(ctx context.Context, m *machine.Machine) []Problem
}

// Replacer is a Step that replaces files of the image, or puts files into its folders. Where one of them is immutable or
// append-only, the step would fail.
type Replacer interface {
	Replaces(m *machine.Machine) []Replaced
}

// Replaced is a file that a step replaces or makes.
type Replaced struct {
	File string // in the image; links are followed
	Path string // what in the config asks for it; may be empty
}

// fixed are the problems of a step whose files cannot be changed.
func fixed(s Step, m *machine.Machine) (problems []Problem) {
	r, ok := s.(Replacer)
	if !ok {
		return nil
	}
	for _, f := range r.Replaces(m) {
		if at := m.Root.FixedAt(f.File); at != "" {
			problems = append(problems, Problem{
				Path: f.Path, Text: fmt.Sprintf("%s cannot be changed: %s is immutable or append-only in the image", f.File, at),
				Hint: fmt.Sprintf("take that away in a run before this one, whose script does \"chattr -i -a %s\"", at),
			})
		}
	}
	return problems
}

// Bringer is a Step that may bring what later steps need, such as one that installs packages.
type Bringer interface{ Brings() bool }

// Preflight collects the problems of all steps, without what an earlier step may still mend.
func (p Plan) Preflight(ctx context.Context, m *machine.Machine) []Problem {
	var all []Problem
	brought := false
	for _, s := range p {
		found := fixed(s, m)
		if c, ok := s.(Checker); ok {
			found = append(found, c.Check(ctx, m)...)
		}
		for _, pr := range found {
			pr.Step = s.Name()
			if (!pr.Later || !brought) && !slices.Contains(all, pr) {
				all = append(all, pr)
			}
		}
		if b, ok := s.(Bringer); ok {
			brought = brought || b.Brings()
		}
	}
	return all
}

// Unmet is the error of a run that cannot be carried out on the image, found before anything is changed or, where
// packages were to bring something, behind them.
type Unmet struct{ Problems []Problem }

// FailureKind tells what kind of failure it is.
func (*Unmet) FailureKind() failure.Kind { return failure.Refused }

func (e *Unmet) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(p.Text)
		if p.Hint != "" {
			b.WriteString(" (" + p.Hint + ")")
		}
	}
	return b.String()
}
