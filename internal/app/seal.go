package app

import (
	"context"
)

// seal trims and closes the image and looks for damage. From here on the disk is only read.
func (w *worker) seal(ctx context.Context) error {
	if err := w.disk.Trim(); err != nil {
		return err
	}
	attached := w.undo[:1] // closing the disk
	w.undo = w.undo[1:]
	if err := w.undo.Undo(); err != nil {
		return err
	}
	w.undo = attached
	if err := w.disk.Unmount(); err != nil {
		return err
	}
	if err := w.disk.Check(ctx); err != nil {
		return err
	}
	return w.undo.Undo()
}
