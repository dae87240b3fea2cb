package app

import (
	"context"
)

// seal trims and closes the image and looks for damage. From here on the disk is only read.
func (w *worker) seal(ctx context.Context) error {
	if err := w.disk.Trim(); err != nil {
		return err
	}
	if err := w.unmount(w.verify); err != nil {
		return err
	}
	if err := w.disk.Check(ctx); err != nil {
		return err
	}
	return w.undo.Undo()
}

// unmount undoes everything but attaching the disk. check is done on the bare tree of the image, without
// the mounts that only programs in it need.
func (w *worker) unmount(check func() error) error {
	attached := w.undo[:1] // closing the disk
	w.undo = w.undo[1:]
	if err := w.undo.Undo(); err != nil {
		return err
	}
	w.undo = attached
	if err := check(); err != nil {
		return err
	}
	return w.disk.Unmount()
}
