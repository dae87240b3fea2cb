package step

import (
	"context"
	"slices"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// CheckAgain looks, behind the step that may have brought it, for everything that the steps of the rest of
// the run need. So all that is missing is reported at once, before any of them changes something.
type CheckAgain struct{ Rest plan.Plan }

// Name identifies the step.
func (CheckAgain) Name() string { return "check.needs" }

// Stage is the part of the run that it belongs to.
func (CheckAgain) Stage() plan.Stage { return plan.Check }

func (CheckAgain) String() string { return "look for what the rest of the run needs" }

// Run fails where something is missing.
func (s CheckAgain) Run(ctx context.Context, m *machine.Machine) error {
	problems := s.Rest.Preflight(ctx, m)
	if err := context.Cause(ctx); err != nil || len(problems) == 0 {
		return err
	}
	return &plan.Unmet{Problems: problems}
}

// checkedAgain puts a CheckAgain behind the last step of the plan that brings something for others.
func checkedAgain(p plan.Plan) plan.Plan {
	for i := len(p) - 1; i >= 0; i-- {
		if b, ok := p[i].(plan.Bringer); ok && b.Brings() {
			return slices.Insert(p, i+1, plan.Step(CheckAgain{slices.Clone(p[i+1:])}))
		}
	}
	return p
}
