package machine

import (
	"context"
	"fmt"
	"os"
	"slices"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/filetree"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/sandbox"
)

// extend copies the old disk as it is to the spare file and changes it there.
func (m *Machine) extend(ctx context.Context, l *disk.Layout) error {
	if err := m.Change(ctx, func(old *os.File) error {
		m.Disk = m.options.Spare
		if err := image.CopyDisk(ctx, m.Disk, old, m.options.Progress); err != nil {
			return err
		}
		return image.Extend(ctx, m.Disk, l)
	}); err != nil {
		return err
	}
	for _, mounted := range m.own.disk.Mounts {
		if err := m.own.disk.GrowFilesystem(ctx, mounted.Volume.Number); err != nil {
			return err
		}
	}
	for _, n := range slices.Backward(l.Mounts) { // the innermost first
		if n.Partition <= l.Kept {
			continue
		}
		if err := m.populate(ctx, n); err != nil {
			return fmt.Errorf("move %s to its new filesystem: %w", n.Entry.Target, err)
		}
	}
	return nil
}

// populate moves what belongs to a new filesystem into it.
func (m *Machine) populate(ctx context.Context, n disk.LayoutMount) (err error) {
	from, to := sandbox.Work+"/from", sandbox.Work+"/to"
	for _, dir := range []string{from, to} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return m.own.disk.WithNew(n, from, to, func() error {
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
