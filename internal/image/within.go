package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/sandbox"
)

// ESP is the EFI system partition: that of the system's tree, if it has one, or else the first of the disk. nil where
// there is none.
func (d *Disk) ESP() *disk.Volume {
	var found *disk.Volume
	for i, v := range d.Volumes {
		if v.Partition.Type != disk.TypeESP && v.Partition.Type != disk.TypeMBRESP {
			continue
		}
		if found == nil || d.mounted(v) && !d.mounted(*found) {
			found = &d.Volumes[i]
		}
	}
	return found
}

// MountOf is the mount of the system's tree that a path lies on.
func (d *Disk) MountOf(name string) (best Mounted) {
	for _, m := range d.Mounts {
		if (m.Path == "/" || name == m.Path || strings.HasPrefix(name, m.Path+"/")) && len(m.Path) >= len(best.Path) {
			best = m
		}
	}
	return best
}

// Read shows what a partition holds, which is not mounted, for the time of f. Nothing of it is changed.
func (d *Disk) Read(ctx context.Context, v disk.Volume, f func(*rootfs.Root) error) error {
	if v.Content.Type == "vfat" {
		return d.show(v, f, func(dir string) (func() error, error) { return d.lookAtFAT(ctx, v, dir) })
	}
	return d.show(v, f, func(dir string) (func() error, error) {
		err := disk.MountVolume(d.device(v.Number), dir, v.Content.Type, noReplay[v.Content.Type], true)
		return func() error { return disk.Unmount(dir) }, err
	})
}

// Write shows what a partition holds, which is not mounted, for the time of f, which may change it.
func (d *Disk) Write(ctx context.Context, v disk.Volume, f func(*rootfs.Root) error) error {
	if v.Content.Type == "vfat" {
		return d.show(v, f, func(dir string) (func() error, error) {
			fat, err := disk.OpenFAT(ctx, d.device(v.Number), dir)
			return func() error { return fat.Close(context.WithoutCancel(ctx)) }, err
		})
	}
	if err := d.preen(ctx, v); err != nil {
		return fmt.Errorf("partition %d: %w", v.Number, err)
	}
	return d.show(v, f, func(dir string) (func() error, error) {
		err := disk.MountVolume(d.device(v.Number), dir, v.Content.Type, "", false)
		return func() error { return disk.Unmount(dir) }, err
	})
}

// show mounts a partition at a folder of the worker for the time of f.
func (d *Disk) show(v disk.Volume, f func(*rootfs.Root) error, mount func(dir string) (done func() error, err error)) (err error) {
	dir, err := os.MkdirTemp(sandbox.Work, "partition-")
	if err != nil {
		return err
	}
	done, err := mount(dir)
	if err != nil {
		return errors.Join(fmt.Errorf("partition %d: %w", v.Number, err), os.Remove(dir))
	}
	err = rootfs.With(func(roots ...*rootfs.Root) error { return f(roots[0]) }, dir)
	return errors.Join(err, done(), os.Remove(dir))
}
