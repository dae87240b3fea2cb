package app

import (
	"context"

	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/sandbox"
)

// live makes the live media from the image's tree while it is mounted, but read-only already: the
// disk and the other outputs do not notice.
func (w *worker) live(ctx context.Context) error {
	if len(w.media) == 0 {
		return nil
	}
	if err := w.machine.Image.Leave(); err != nil { // the tree must be bare of /proc and the like
		return err
	}
	scratch, err := w.machine.Scratch()
	if err != nil {
		return err
	}
	maker := &liveos.Maker{Machine: w.machine, Scratch: scratch, Now: w.Now}
	for _, o := range w.Outputs {
		spec, ok := w.media[o.Format]
		if !ok {
			continue
		}
		if err := w.phase(ctx, "output."+o.Format, "write "+o.Format, func(ctx context.Context) error {
			return w.medium(ctx, maker, o, spec)
		}); err != nil {
			return err
		}
	}
	return nil
}

// medium writes one live medium and checks it.
func (w *worker) medium(ctx context.Context, maker *liveos.Maker, o jobOutput, spec liveos.Spec) error {
	format, err := output.Parse(o.Format)
	if err != nil {
		return err
	}
	file := sandbox.Path(sandbox.File(o.File))
	return output.WriteLive(ctx, format, file, func(ctx context.Context) error {
		if format.Network {
			return maker.Net(ctx, spec, file, !format.Folder)
		}
		if err := maker.ISO(ctx, spec, file); err != nil {
			return err
		}
		return liveos.Check(ctx, file, sandbox.Work+"/tmp")
	})
}
