package machine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/filetree"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/rootfs"
)

// NewDisk makes a disk, copies the system to it and puts it in the place of the old one; Root, Facts, Image and
// Disk are its own then. Where the layout keeps partitions, the new disk is the old one, changed.
func (m *Machine) NewDisk(ctx context.Context, l *disk.Layout) error {
	if l.Kept > 0 {
		return m.extend(ctx, l)
	}
	if err := m.host.leave(m.own.inside); err != nil { // nothing of ours may be in the tree
		return err
	}
	fresh, err := m.host.create(ctx, m.options.Spare, l)
	if err != nil {
		return err
	}
	m.own.fresh = fresh
	old := m.own.disk
	if err := m.host.copy(m, ctx, old, fresh); err != nil {
		return err
	}
	if err := m.host.close(old); err != nil {
		return err
	}
	m.Disk, m.own.disk, m.own.fresh = m.options.Spare, fresh, nil
	if err := fresh.Cover(slices.DeleteFunc(slices.Clone(old.Covered), l.Mounted)); err != nil {
		return err
	}
	return m.host.enter(m, fresh)
}

// copyTree copies what the old disk holds to the new one.
func (m *Machine) copyTree(ctx context.Context, old, d *image.Disk) error {
	from, to := old.Root, d.Root
	o := filetree.Options{Skip: fromTop(old.Covered), FAT: fromTop(fatMounts(old, d))}
	for _, at := range append(old.Mounts[:len(old.Mounts):len(old.Mounts)], d.Mounts...) {
		o.Tops = append(o.Tops, strings.TrimPrefix(at.Path, "/"))
	}
	total, err := fits(ctx, from, o, d)
	if err != nil {
		return err
	}
	o.Progress = func(done int64) { m.options.Progress(done, total) }
	o.Parted = func(rel string) {
		slog.Warn("a hard link cannot lead from one filesystem to another: the file is copied", "file", "/"+rel)
	}
	if err := filetree.Copy(ctx, from, to, o); err != nil {
		return err
	}
	return filetree.Compare(ctx, from, to, o)
}

// fits looks whether the content fits into the new filesystems, and returns its size.
func fits(ctx context.Context, from *rootfs.Root, o filetree.Options, d *image.Disk) (total int64, err error) {
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
