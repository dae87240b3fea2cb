// Package engine carries out a plan: its steps in their order, each timed and reported, until the
// end or the first failure.
package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/ui"
)

// Runner carries out plans.
type Runner struct {
	Machine *machine.Machine // what steps work on; nil where they need none
	Report  func(ui.Event)   // is told when steps begin and end
	Before  func() error     // is called before each step; may be nil
}

// Run carries a plan out. An error names the step that failed.
func (r Runner) Run(ctx context.Context, p plan.Plan) error {
	for _, s := range p {
		run := r.step
		if lanes, ok := s.(plan.Lanes); ok {
			run = func(ctx context.Context, _ plan.Step) error { return r.lanes(ctx, lanes) }
		}
		if err := run(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// lanes carries plans out side by side. One that fails ends none of the others, whose errors are told too.
func (r Runner) lanes(ctx context.Context, lanes plan.Lanes) error {
	errs := make([]error, len(lanes))
	var wg sync.WaitGroup
	for i, l := range lanes {
		wg.Go(func() { errs[i] = r.Run(ctx, l) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (r Runner) step(ctx context.Context, s plan.Step) error {
	err := r.timed(ctx, s)
	if r.Machine != nil {
		if names := r.Machine.Leftovers(); len(names) > 0 {
			r.Machine.Log.Warn("ended processes that the step left running", "step", s.Name(), "processes", names)
		}
	}
	if a, ok := s.(plan.Asked); ok && err != nil && a.AskedBy() != "" {
		err = &failure.Failure{Path: a.AskedBy(), Err: err}
	}
	return err
}

// timed runs a step as a reported and timed part of a run. An error names it.
func (r Runner) timed(ctx context.Context, s plan.Step) error {
	e := ui.Event{Time: time.Now(), Kind: ui.Start, Stage: string(plan.StageOf(s)), Step: s.Name(), Title: s.String()}
	failed := func(err error) error {
		return &failure.Failure{Step: e.Step, Err: fmt.Errorf("%s: %w", e.Title, err)}
	}
	if err := context.Cause(ctx); err != nil {
		return failed(err)
	}
	r.Report(e)
	err := r.run(ctx, s)
	e.Time, e.Kind, e.Elapsed = time.Now(), ui.Done, time.Since(e.Time)
	if err != nil {
		e.Kind, err = ui.Fail, failed(err)
	}
	r.Report(e)
	return err
}

func (r Runner) run(ctx context.Context, s plan.Step) error {
	if r.Before != nil {
		if err := r.Before(); err != nil {
			return err
		}
	}
	return s.Run(ctx, r.Machine)
}
