// Package engine carries out a plan: its steps in their order, each timed and reported, until the
// end or the first failure.
package engine

import (
	"context"
	"fmt"
	"time"

	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/ui"
)

// Run carries the plan out on the machine. An error names the step that failed.
func Run(ctx context.Context, p plan.Plan, m *machine.Machine, report func(ui.Event)) error {
	for _, s := range p {
		err := Phase(ctx, s.Name(), s.String(), report, func(ctx context.Context) error { return s.Run(ctx, m) })
		if names := m.Leftovers(); len(names) > 0 {
			m.Log.Warn("ended processes that the step left running", "step", s.Name(), "processes", names)
		}
		if a, ok := s.(plan.Asked); ok && err != nil {
			err = &failure.Failure{Path: a.AskedBy(), Err: err}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Phase runs f as a reported and timed part of a run. An error names the step that failed.
func Phase(ctx context.Context, name, what string, report func(ui.Event), f func(context.Context) error) error {
	if err := context.Cause(ctx); err != nil {
		return failed(name, what, err)
	}
	start := time.Now()
	report(ui.Event{Time: start, Kind: ui.Start, Step: name, Title: what})
	err := f(ctx)
	end := ui.Event{Time: time.Now(), Kind: ui.Done, Step: name, Title: what, Elapsed: time.Since(start)}
	if err != nil {
		end.Kind = ui.Fail
		err = failed(name, what, err)
	}
	report(end)
	return err
}

func failed(step, what string, err error) error {
	return &failure.Failure{Step: step, Err: fmt.Errorf("%s: %w", what, err)}
}
