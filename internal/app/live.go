package app

import (
	"context"

	"imagecustomizer/internal/job"
	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/sandbox"
)

// media are the steps that write the live media, which are prepared by then.
func (w *worker) media() (list plan.Plan) {
	for _, o := range w.job.Outputs {
		if o.Format.Live {
			list = append(list, plan.Task(plan.Output, o.Step(), "write "+o.Format.Name, func(ctx context.Context) error { return w.medium(ctx, o) }))
		}
	}
	return list
}

// medium writes one live medium and checks it.
func (w *worker) medium(ctx context.Context, o *job.Output) error {
	format := o.Format
	file := sandbox.Path(w.job.File(o.Resource))
	return output.WriteLive(ctx, format, file, func(ctx context.Context) error {
		if err := w.maker.Write(ctx, format.Name, file, !format.Folder); err != nil || format.Network {
			return err
		}
		return liveos.Check(ctx, file)
	})
}

// liveMaker makes the live media, one of them in its place.
func (w *worker) liveMaker() *liveos.Maker {
	mk := &liveos.Maker{Now: w.job.Now}
	for _, o := range w.job.Outputs {
		if o.Format.Name == "iso" && !w.job.DryRun {
			mk.Place = sandbox.Path(w.job.File(o.Resource))
			break
		}
	}
	return mk
}
