package image

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/extent"
)

// CopyDisk fills dst, an empty file, with the partition table and the partitions of a disk. What lies
// behind the last partition, and holes, become holes.
func CopyDisk(ctx context.Context, dst, src *os.File, progress func(done, total int64)) error {
	fi, err := src.Stat()
	if err != nil {
		return err
	}
	t, err := disk.ReadTable(src, fi.Size())
	if err != nil {
		return err
	}
	last := t.Partitions[len(t.Partitions)-1]
	if err := dst.Truncate(fi.Size()); err != nil {
		return err
	}
	return extent.CopyAll(ctx, dst, src, last.Start+last.Size, progress)
}

// Extend makes of a detached disk the one of the layout, whose kept partitions it has: they get their
// sizes, and those behind them are added and formatted. Filesystems that are grown while they are
// mounted are left to GrowFilesystem.
func Extend(ctx context.Context, file *os.File, l *disk.Layout) (err error) {
	if err := disk.EditGPT(file, l.Size, func(t *disk.Table) error {
		for i := range t.Partitions {
			t.Partitions[i].Size = l.Table.Partitions[i].Size
		}
		t.Partitions = append(t.Partitions, l.Table.Partitions[l.Kept:]...)
		return nil
	}); err != nil {
		return err
	}
	d, err := Attach(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for _, p := range l.Table.Partitions[:l.Kept] {
		if err := d.growOffline(ctx, p.Number); err != nil {
			return err
		}
	}
	for _, f := range l.Filesystems {
		if f.Partition <= l.Kept {
			continue
		}
		if err := d.makeNew(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// makeNew makes a filesystem on a disk of which nothing is mounted.
func (d *Disk) makeNew(ctx context.Context, f disk.Format) (err error) {
	if err := f.Make(ctx, d.device(f.Partition)); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "new")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(dir)) }()
	return d.makeSubvolumes(ctx, f, dir)
}

// WithNew mounts, for the time of f, a filesystem of the disk at the folder to, and shows in the folder
// from what the mounted tree has where that is to be mounted, without what is mounted there or below.
func (d *Disk) WithNew(m disk.LayoutMount, from, to string, f func() error) (err error) {
	v, err := d.volume(m.Partition)
	if err != nil {
		return err
	}
	if err := d.atMount(m.Entry.Target, func(dir string) error { return unix.Mount(dir, from, "", unix.MS_BIND, "") }); err != nil {
		return fmt.Errorf("show %s: %w", m.Entry.Target, err)
	}
	defer func() { err = errors.Join(err, disk.Unmount(from)) }()
	if err := disk.MountVolume(d.device(v.Number), to, v.Content.Type, disk.KeptOptions(v.Content.Type, m.Entry.Options), false); err != nil {
		return err
	}
	watched, err := disk.Watch(to)
	if err != nil {
		return errors.Join(err, disk.Unmount(to))
	}
	defer func() { err = errors.Join(err, watched.Unmount()) }()
	return f()
}
