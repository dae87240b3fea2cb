package app

import (
	"context"
	"fmt"
	"os"
	"slices"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/filetree"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/sandbox"
)

// extendDisk copies the old disk as it is to the working file and changes it there. From then on the
// machine works on it.
func (w *worker) extendDisk(ctx context.Context, m *machine.Machine, l *disk.Layout) error {
	old := w.file
	if err := w.reopen(ctx, m, func(ctx context.Context) error {
		w.file = w.Working()
		if err := image.CopyDisk(ctx, w.file, old, progress("storage.disk", w.send.Event)); err != nil {
			return err
		}
		return image.Extend(ctx, w.file, l)
	}); err != nil {
		return err
	}
	for _, mounted := range w.disk.Mounts {
		if err := w.disk.GrowFilesystem(ctx, mounted.Volume.Number); err != nil {
			return err
		}
	}
	for _, n := range slices.Backward(l.Mounts) { // the innermost first
		if n.Partition <= l.Kept {
			continue
		}
		if err := w.populate(ctx, n); err != nil {
			return fmt.Errorf("move %s to its new filesystem: %w", n.Entry.Target, err)
		}
	}
	return nil
}

// populate moves what belongs to a new filesystem into it.
func (w *worker) populate(ctx context.Context, n disk.LayoutMount) (err error) {
	from, to := sandbox.Work+"/from", sandbox.Work+"/to"
	for _, dir := range []string{from, to} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return w.disk.WithNew(n, from, to, func() error {
		return rootfs.With(func(roots ...*rootfs.Root) error {
			o := filetree.Options{Tops: []string{""}}
			if err := filetree.Copy(ctx, roots[0], roots[1], o); err != nil {
				return err
			}
			if err := filetree.Compare(ctx, roots[0], roots[1], o); err != nil {
				return err
			}
			if err := filetree.Loosen(ctx, roots[0]); err != nil {
				return err
			}
			return removeContent(roots[0])
		}, from, to)
	})
}

// removeContent empties a folder in which nothing is mounted.
func removeContent(root *rootfs.Root) error {
	entries, err := root.ReadDir("/")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := root.RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	return nil
}
