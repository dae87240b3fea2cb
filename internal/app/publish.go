package app

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"imagecustomizer/internal/engine"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/printable"
	"imagecustomizer/internal/ui"
)

// written forgets the outputs that the worker has nothing to write into, and returns the others.
func written(outputs []*job.Output, unwritten []string) (list []*job.Output) {
	for _, o := range outputs {
		switch {
		case !slices.Contains(unwritten, o.Path):
			list = append(list, o)
		case o.Pending != nil:
			o.Pending.Discard()
		}
	}
	return list
}

// publish gives every output its name, now that all are complete.
func publish(ctx context.Context, outputs []*job.Output, screen *ui.UI, artifacts *job.Artifacts) error {
	p, discard := publishing(outputs, artifacts, screen.Handle)
	defer discard()
	if err := (engine.Runner{Report: screen.Handle}).Run(ctx, p); err != nil {
		return err
	}
	for _, o := range outputs {
		older := ""
		if o.Pending.Replaces() {
			older = ", in place of an older file"
		}
		screen.Note("wrote %s (%s)%s", o.Path, o, older)
	}
	if artifacts != nil {
		screen.Note("wrote %s (what is to be signed; put it back with inject-files)", artifacts.Path)
	}
	return nil
}

// publishing are the steps that compute checksums and give files their names. The caller discards what has none then.
func publishing(outputs []*job.Output, artifacts *job.Artifacts, report func(ui.Event)) (p plan.Plan, discard func()) {
	var all, sums []*output.Pending
	if artifacts != nil {
		all = append(all, artifacts.Pending)
	}
	for _, o := range outputs {
		all = append(all, o.Pending)
		if !o.Checksum || o.Format.Folder {
			continue
		}
		p = append(p, plan.Task(plan.Output, "checksum", "compute the checksum of "+filepath.Base(o.Path), func(ctx context.Context) error {
			sum, err := output.Checksum(ctx, o.Pending, progress("checksum", report))
			if err == nil {
				sums = append(sums, sum)
			}
			return err
		}))
	}
	name := func(context.Context) error {
		return output.Publish(append(slices.Clone(sums), all...)...) // whoever sees an image finds its sum there
	}
	if len(outputs) > 0 {
		p = append(p, plan.Task(plan.Output, "publish", "give the outputs their names", name))
	}
	return p, func() {
		for _, s := range sums {
			s.Discard()
		}
	}
}

// linesOf shows a plan.
func linesOf(p plan.Plan) (lines []job.Line) {
	for _, s := range p.Steps() {
		lines = append(lines, job.Line{Stage: plan.StageOf(s), Name: s.Name(), Text: s.String()})
	}
	return lines
}

func printPlan(w io.Writer, lines []job.Line) error {
	for i, l := range lines {
		if _, err := fmt.Fprintf(w, "%3d. %-6s  %-26s %s\n", i+1, l.Stage, printable.Line(l.Name), printable.Line(l.Text)); err != nil {
			return err
		}
	}
	return nil
}

// printOutputs lists what a run would write.
func printOutputs(w io.Writer, outputs []*job.Output) error {
	for _, o := range outputs {
		if _, err := fmt.Fprintf(w, "to be written: %s (%s)\n", printable.Line(o.Path), o); err != nil {
			return err
		}
	}
	return nil
}
