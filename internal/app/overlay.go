package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/cow"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/sandbox"
)

// loadWorking opens the disk that is to be worked on: the base image where it is, with only what is written
// to it in the working file, or a copy.
func (w *worker) loadWorking(ctx context.Context, read func(context.Context, *os.File) error, open machine.Opener) error {
	overlay, err := w.overlay()
	if err != nil {
		slog.Debug("the base image is copied", "because", err)
		return w.load(ctx, w.job.Working(), read, open)
	}
	w.where = overlay.Where
	return w.run(ctx, w.opening("open the image", overlay.File, open))
}

// onBase tells whether a run can work on the base image where it is. That pays where the outputs are made from
// the disk's data alone, read once, and a copy would take time and space.
func onBase(format diskformat.Image, targets []*job.Output) bool {
	whole := func(t *job.Output) bool { return t.OfDisk() && !t.Format.InParts() }
	_, err := os.Stat("/dev/fuse")
	return err == nil && format.Name == "raw" && len(targets) > 0 && !slices.ContainsFunc(targets, whole)
}

// overlay shows the base image as the working disk.
func (w *worker) overlay() (*cow.Disk, error) {
	if !w.job.Has(job.Changes) {
		return nil, errors.New("the run needs a disk of its own, or there is no /dev/fuse")
	}
	base, err := os.Open(w.job.Image.Path) // stays open as long as the worker
	if err != nil {
		return nil, err
	}
	if unix.IoctlFileClone(int(w.job.Working().Fd()), int(base.Fd())) == nil {
		return nil, errors.Join(errors.New("a copy costs nothing"), base.Close())
	}
	return cow.Open(base, w.job.Working(), sandbox.Work)
}
