package app

import (
	"context"

	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/sandbox"
)

// live writes the live media that are prepared.
func (w *worker) live(ctx context.Context) error {
	for _, o := range w.Outputs {
		if !o.live() {
			continue
		}
		if err := w.phase(ctx, "output."+o.Format, "write "+o.Format, func(ctx context.Context) error { return w.medium(ctx, o) }); err != nil {
			return err
		}
	}
	return nil
}

// medium writes one live medium and checks it.
func (w *worker) medium(ctx context.Context, o jobOutput) error {
	format, err := output.Parse(o.Format)
	if err != nil {
		return err
	}
	file := sandbox.Path(sandbox.File(o.File))
	return output.WriteLive(ctx, format, file, func(ctx context.Context) error {
		if err := w.maker.Write(ctx, o.Format, file, !format.Folder); err != nil || format.Network {
			return err
		}
		return liveos.Check(ctx, file)
	})
}

// liveMaker makes the live media, one of them in its place.
func (w *worker) liveMaker() *liveos.Maker {
	mk := &liveos.Maker{Now: w.Now}
	for _, o := range w.Outputs {
		if o.Format == "iso" && !w.DryRun {
			mk.Place = sandbox.Path(sandbox.File(o.File))
			break
		}
	}
	return mk
}
