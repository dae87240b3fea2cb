package image

import (
	"context"
	"errors"
	"fmt"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/rootfs"
)

// Look mounts the tree of the unmounted disk once more, as it was, but read-only, for the time of f. The
// disk does not change: not even a journal is replayed.
func (d *Disk) Look(ctx context.Context, f func() error) (err error) {
	attached := len(d.undo)
	defer func() {
		mounts := d.undo[attached:]
		d.undo = d.undo[:attached]
		err = errors.Join(err, mounts.Undo())
	}()
	for _, m := range d.Mounts {
		if err := d.lookAt(ctx, m); err != nil {
			return fmt.Errorf("mount %s to look at it: %w", m.Path, err)
		}
	}
	return f()
}

func (d *Disk) lookAt(ctx context.Context, m Mounted) error {
	if m.Path == "/" {
		return d.lookAtRoot(m)
	}
	target, err := d.mountPoint(m.Path)
	if err != nil {
		return err
	}
	if m.Staged {
		f, err := disk.OpenFAT(ctx, d.device(m.Volume.Number), target)
		if err == nil {
			d.undo.Push(func() error { return f.Close(context.WithoutCancel(ctx)) })
		}
		return err
	}
	return d.mountReadOnly(m, target)
}

func (d *Disk) lookAtRoot(m Mounted) (err error) {
	dir := d.Root.Dir()
	if err := d.mountReadOnly(m, dir); err != nil {
		return err
	}
	if d.Root, err = rootfs.New(dir); err != nil {
		return err
	}
	d.undo.Push(d.Root.Close)
	return nil
}

// noReplay are the options that keep the kernel from replaying a journal.
var noReplay = map[string]string{"ext3": "noload", "ext4": "noload", "xfs": "norecovery"}

func (d *Disk) mountReadOnly(m Mounted, target string) error {
	options := noReplay[m.Volume.Content.Type]
	if m.Subvolume != "" {
		options = "subvol=" + m.Subvolume
	}
	if err := disk.MountVolume(d.device(m.Volume.Number), target, m.Volume.Content.Type, options, true); err != nil {
		return err
	}
	d.undo.Push(func() error { return disk.Unmount(target) })
	return nil
}

// noteSubvolumes notes which btrfs subvolumes are mounted.
func (d *Disk) noteSubvolumes() {
	for i, m := range d.Mounts {
		if m.Volume.Content.Type != "btrfs" {
			continue
		}
		if target, err := d.mountPoint(m.Path); err == nil {
			d.Mounts[i].Subvolume = disk.MountedRoot(target)
		}
	}
}
