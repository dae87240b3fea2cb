package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/filetree"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/sandbox"
)

// newDisk makes a disk in the working file, copies the system to it and compares the copy with the
// original. From then on the machine works on it, and the old disk is closed.
func (w *worker) newDisk(ctx context.Context, m *machine.Machine, l *disk.Layout) error {
	if err := m.Image.Leave(); err != nil { // nothing of ours may be in the tree
		return err
	}
	dir := sandbox.Work + "/new"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	d, err := image.Create(ctx, w.Working(), l, dir)
	if err != nil {
		return err
	}
	old, later := w.disk, w.undo[2:]
	w.undo = append(disk.Stack{old.Close, d.Close}, later...)
	if err := w.copyTree(ctx, old, d); err != nil {
		return err
	}
	if err := old.Close(); err != nil {
		return err
	}
	w.undo = disk.Stack{d.Close}
	if err := d.Cover(slices.DeleteFunc(slices.Clone(old.Covered), l.Mounted)); err != nil {
		return err
	}
	if err := w.enter(m, d, w.Working()); err != nil {
		return errors.Join(err, later.Undo())
	}
	w.undo = append(w.undo, later...)
	return nil
}

// copyTree copies what the old disk holds to the new one.
func (w *worker) copyTree(ctx context.Context, old, d *image.Disk) error {
	from, to := old.Root, d.Root
	o := filetree.Options{Skip: fromTop(old.Covered), FAT: fromTop(fatMounts(old, d))}
	for _, m := range append(old.Mounts[:len(old.Mounts):len(old.Mounts)], d.Mounts...) {
		o.Tops = append(o.Tops, strings.TrimPrefix(m.Path, "/"))
	}
	total, err := w.fits(ctx, from, o, d)
	if err != nil {
		return err
	}
	report := progress("storage.disk", w.send.Event)
	o.Progress = func(done int64) { report(done, total) }
	o.Parted = func(rel string) {
		slog.Warn("a hard link cannot lead from one filesystem to another: the file is copied", "file", "/"+rel)
	}
	if err := filetree.Copy(ctx, from, to, o); err != nil {
		return err
	}
	return filetree.Compare(ctx, from, to, o)
}

// fits looks whether the content fits into the new filesystems, and returns its size.
func (w *worker) fits(ctx context.Context, from *rootfs.Root, o filetree.Options, d *image.Disk) (total int64, err error) {
	o.Tops = nil
	for _, m := range d.Mounts {
		o.Tops = append(o.Tops, strings.TrimPrefix(m.Path, "/"))
	}
	use, err := filetree.Measure(ctx, from, o)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, m := range d.Mounts {
		u := use[strings.TrimPrefix(m.Path, "/")]
		total += u.Bytes
		room, inodes, err := d.Room(m.Path)
		switch {
		case err != nil:
			return 0, err
		case u.Bytes > room:
			errs = append(errs, fmt.Errorf("what belongs to %s takes %d MiB, but its new filesystem has room for %d MiB: make its partition larger", m.Path, u.Bytes>>20, room>>20))
		case inodes > 0 && u.Files > inodes:
			errs = append(errs, fmt.Errorf("what belongs to %s are %d files, but its new filesystem has room for %d: make its partition larger", m.Path, u.Files, inodes))
		}
	}
	return total, errors.Join(errs...)
}

func fatMounts(disks ...*image.Disk) (paths []string) {
	for _, d := range disks {
		for _, m := range d.Mounts {
			if m.Volume.Content.Type == "vfat" {
				paths = append(paths, m.Path)
			}
		}
	}
	return paths
}

func fromTop(paths []string) (rel []string) {
	for _, p := range paths {
		rel = append(rel, strings.TrimPrefix(p, "/"))
	}
	return rel
}
