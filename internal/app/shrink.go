package app

import (
	"context"
	"errors"
	"io"
	"slices"

	"imagecustomizer/internal/image"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/verify"
)

// shrinksEarly tells whether the disk may be shrunk before it is sealed: the config asks for it, or no
// output is of the disk as it is.
func (w *worker) shrinksEarly() bool {
	return w.shrinksDisk() || !slices.ContainsFunc(w.job.Outputs, func(o *job.Output) bool { return !o.Shrunk })
}

// shrinksDisk tells whether the disk as a whole is to be as small as its content.
func (w *worker) shrinksDisk() bool { return w.job.Config != nil && w.job.Config.Storage.Shrink != nil }

// shrink shrinks the filesystems of the unmounted disk.
func (w *worker) shrink(ctx context.Context) error {
	headroom := int64(0)
	if w.shrinksDisk() {
		headroom = int64(w.job.Config.Storage.Shrink.Headroom)
	}
	return w.machine.Opened().Shrink(ctx, w.machine.Disk, headroom, w.unshrinkable())
}

// unshrinkable are the partitions whose filesystems are sealed, or held mounted.
func (w *worker) unshrinkable() map[int]bool {
	keep := map[int]bool{}
	for _, s := range w.machine.Opened().Sealed {
		keep[s.Data.Number] = true
	}
	for _, v := range w.system.Verity {
		keep[v.DataPartition] = true
	}
	return keep
}

// detach detaches the disk and, where it is to be shrunk, ends it behind its last partition.
func (w *worker) detach(context.Context) error {
	if err := w.leave(); err != nil {
		return err
	}
	if !w.shrinksDisk() {
		return w.read()
	}
	file := w.machine.Disk
	if err := image.CutDisk(file); err != nil {
		return err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := w.fit(verify.Table(file, size)); err != nil {
		return err
	}
	return w.read()
}

// shrinkLate shrinks the filesystems of the finished disk, which the outputs of it as it was have been
// written from.
func (w *worker) shrinkLate(ctx context.Context) error {
	d, err := image.Attach(w.machine.Disk)
	if err != nil {
		return err
	}
	err = d.Shrink(ctx, w.machine.Disk, 0, w.unshrinkable())
	if err == nil && w.job.Fixed {
		err = d.Settle(ctx, w.began, w.job.Now, w.unshrinkable())
	}
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	return w.read()
}

// noteVerity notes a sealed filesystem for a COSI.
func (w *worker) noteVerity(s image.Sealed) {
	at, _ := s.Device.HashOffset() // that was understood or made
	w.system.Verity = append(w.system.Verity, output.Verity{DataPartition: s.Data.Number, HashPartition: s.Hash.Number, HashOffset: at, RootHash: s.Device.RootHash})
}
