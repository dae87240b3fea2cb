package app

import (
	"context"
)

// seal trims and closes the image and looks for damage. From here on the disk is only read.
func (w *worker) seal(ctx context.Context) error {
	if err := w.disk.Trim(); err != nil {
		return err
	}
	if err := w.unmount(); err != nil {
		return err
	}
	if err := w.verify(ctx); err != nil {
		return err
	}
	if err := w.disk.Check(ctx); err != nil {
		return err
	}
	return w.undo.Undo()
}

// unmount undoes everything but attaching the disk.
func (w *worker) unmount() error {
	attached := w.undo[:1] // closing the disk
	w.undo = w.undo[1:]
	if err := w.undo.Undo(); err != nil {
		return err
	}
	w.undo = attached
	return w.disk.Unmount()
}
