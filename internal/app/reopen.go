package app

import (
	"context"
	"errors"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/machine"
)

// reopen closes the image for a change of its disk, and opens it again.
func (w *worker) reopen(ctx context.Context, m *machine.Machine, change func(context.Context) error) error {
	if err := m.Image.Leave(); err != nil {
		return err
	}
	dir, later, root := w.disk.Root.Dir(), w.undo[2:], w.disk.Chosen() // what it was found by may change
	w.undo = append(disk.Stack{w.disk.Close}, later...)
	if err := w.disk.Close(); err != nil {
		return err
	}
	w.undo = later
	if err := change(ctx); err != nil {
		return err
	}
	d, err := w.opener()(ctx, w.file, dir, root)
	if err != nil {
		return err
	}
	w.undo = disk.Stack{d.Close}
	if err := w.enter(m, d, w.file); err != nil {
		return errors.Join(err, later.Undo())
	}
	w.undo = append(w.undo, later...)
	return nil
}

// grow makes a partition and its filesystem larger.
func (w *worker) grow(ctx context.Context, m *machine.Machine, partition int, by int64) error {
	err := w.reopen(ctx, m, func(ctx context.Context) error { return image.Grow(ctx, w.file, partition, by) })
	if err != nil {
		return err
	}
	return w.disk.GrowFilesystem(ctx, partition)
}
