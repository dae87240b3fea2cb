package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"golang.org/x/sys/unix"

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
	target, err := d.mountTarget(m.Path)
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
		_ = d.atMount(m.Path, func(dir string) error {
			d.Mounts[i].Subvolume = disk.MountedRoot(dir)
			return nil
		})
	}
}

// espPlaces are folders over which a partition can be mounted for a look, the usual ones first.
var espPlaces = []string{"/boot/efi", "/efi", "/mnt", "/media", "/srv"}

// mountLooseESP mounts the EFI system partition where programs of the image look for it, if fstab does not
// name it: systemd then mounts it by its type, at an empty folder.
func (d *Disk) mountLooseESP(ctx context.Context, fstab disk.Fstab) error {
	esp, place := d.unmountedESP()
	other := slices.ContainsFunc(fstab.Entries(), func(e disk.Entry) bool { return e.Target == place })
	if !slices.Contains(espPlaces[:2], place) || other {
		return nil
	}
	if files, err := d.Root.ReadDir(place); err != nil || len(files) > 0 {
		return err
	}
	claim := disk.Claim{Entry: disk.Entry{Target: place, Type: esp.Content.Type}, Use: disk.Mount, Volume: &esp}
	if err := d.mountEntry(ctx, claim); err != nil {
		slog.Warn("the EFI system partition, which fstab does not name, is left alone", "because", err)
	}
	return nil
}

// LookAtESP mounts, for the time of f, the EFI system partition too where the system itself does not, over
// some folder of its tree. f is given all mounts.
func (d *Disk) LookAtESP(ctx context.Context, f func(mounts []Mounted)) (err error) {
	esp, place := d.unmountedESP()
	if place == "" {
		f(d.Mounts)
		return nil
	}
	p, err := d.mountPoint(place)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	done, err := d.lookAtFAT(ctx, esp, p.Path())
	if err != nil {
		slog.Warn("the EFI system partition cannot be looked at", "error", err)
		f(d.Mounts)
		return nil
	}
	f(append(slices.Clone(d.Mounts), Mounted{Path: place, Volume: esp}))
	return done()
}

// lookAtFAT mounts a FAT read-only or, where the kernel has none, shows a copy of it. done undoes that.
func (d *Disk) lookAtFAT(ctx context.Context, v disk.Volume, target string) (done func() error, err error) {
	err = disk.MountVolume(d.device(v.Number), target, "vfat", "", true)
	if err == nil {
		return func() error { return disk.Unmount(target) }, nil
	}
	if !errors.Is(err, unix.ENODEV) {
		return nil, err
	}
	fat, err := disk.OpenFAT(ctx, d.device(v.Number), target)
	if err != nil {
		return nil, err
	}
	return func() error { return fat.Close(context.WithoutCancel(ctx)) }, nil
}

// unmountedESP is the EFI system partition, and where to mount it; an empty place where the system mounts it
// itself, or there is none.
func (d *Disk) unmountedESP() (esp disk.Volume, place string) {
	mounted := func(path string) bool {
		return slices.ContainsFunc(d.Mounts, func(m Mounted) bool { return m.Path == path })
	}
	for _, v := range d.Volumes {
		isMounted := d.mounted(v)
		if v.Partition.Type != disk.TypeESP || v.Content.Type != "vfat" || isMounted {
			continue
		}
		for _, p := range espPlaces {
			if fi, err := d.Root.Lstat(p); err == nil && fi.IsDir() && !mounted(p) {
				return v, p
			}
		}
	}
	return disk.Volume{}, ""
}
