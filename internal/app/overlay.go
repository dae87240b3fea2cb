package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/cow"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/sandbox"
)

// loadWorking opens the disk that is to be worked on: the base image where it is, with only what is written
// to it in the working file, or a copy.
func (w *worker) loadWorking(ctx context.Context, read func(context.Context, *os.File) error, open opener) (m *machine.Machine, err error) {
	overlay, err := w.overlay()
	if err != nil {
		slog.Debug("the base image is copied", "because", err)
		return w.load(ctx, sandbox.File(fileDisk), read, open)
	}
	w.where = overlay.Where
	err = w.phase(ctx, "open", "open the image", func(ctx context.Context) error {
		m, err = w.open(ctx, overlay.File, open)
		return err
	})
	return m, err
}

// overlay shows the base image as the working disk. That pays where the outputs are made from the disk's
// data alone, read once, and a copy would take time and space.
func (w *worker) overlay() (*cow.Disk, error) {
	partial := func(o jobOutput) bool { return o.inParts() || o.Split != "" }
	if w.Format.Name != "raw" || len(w.Outputs) == 0 || slices.ContainsFunc(w.Outputs, func(o jobOutput) bool { return !partial(o) }) {
		return nil, errors.New("the run needs a disk of its own")
	}
	base, err := os.Open(w.Image) // stays open as long as the worker
	if err != nil {
		return nil, err
	}
	if unix.IoctlFileClone(int(sandbox.File(fileDisk).Fd()), int(base.Fd())) == nil {
		return nil, errors.Join(errors.New("a copy costs nothing"), base.Close())
	}
	return cow.Open(base, sandbox.File(fileDisk), sandbox.Work)
}
