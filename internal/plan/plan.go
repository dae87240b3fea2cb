// Package plan describes a run as data: a list of steps that can be printed, compared and carried
// out, made before anything is changed.
package plan

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

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

// Bringer is a Step that may bring what later steps need, such as one that installs packages.
type Bringer interface{ Brings() bool }

// Preflight collects the problems of all steps, without what an earlier step may still mend.
func (p Plan) Preflight(ctx context.Context, m *machine.Machine) []Problem {
	var all []Problem
	brought := false
	for _, s := range p {
		if c, ok := s.(Checker); ok {
			for _, pr := range c.Check(ctx, m) {
				pr.Step = s.Name()
				if !pr.Later || !brought {
					all = append(all, pr)
				}
			}
		}
		if b, ok := s.(Bringer); ok {
			brought = brought || b.Brings()
		}
	}
	return all
}

// Unmet is the error of a run in which something that packages were to bring is still missing.
type Unmet struct{ Problems []Problem }

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
