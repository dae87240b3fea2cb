// Package plan describes a run as data: a list of steps that can be printed, compared and carried
// out, made before anything is changed.
package plan

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

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
	Text string
	Hint string // what to do; may be empty
}

// Checker is a Step that can tell beforehand, without changing anything, what would make it fail on
// this image: a missing program, an unknown service, too little space.
type Checker interface {
	Check(ctx context.Context, m *machine.Machine) []Problem
}

// Preflight collects the problems of all steps.
func (p Plan) Preflight(ctx context.Context, m *machine.Machine) []Problem {
	var all []Problem
	for _, s := range p {
		if c, ok := s.(Checker); ok {
			for _, pr := range c.Check(ctx, m) {
				pr.Step = s.Name()
				all = append(all, pr)
			}
		}
	}
	return all
}
