package app

import (
	"context"
	"errors"
	"os"
	"sync"

	"imagecustomizer/internal/output"
	"imagecustomizer/internal/sandbox"
)

// write writes the outputs side by side.
func (w *worker) write(ctx context.Context, file *os.File) error {
	var wg sync.WaitGroup
	errs := make([]error, len(w.Outputs))
	for i, o := range w.Outputs {
		if o.File == fileDisk {
			continue
		}
		format, err := output.Parse(o.Format)
		if err != nil {
			return err
		}
		wg.Go(func() {
			name := "output." + o.Format
			errs[i] = w.phase(ctx, name, "write "+o.Format, func(ctx context.Context) error {
				return output.Write(ctx, format, sandbox.Path(file), w.Format.Size, sandbox.Path(sandbox.File(o.File)), progress(name, w.event))
			})
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
