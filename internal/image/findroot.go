package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/rootfs"
)

// rootTypes are filesystems that can hold a root.
var rootTypes = []string{"ext2", "ext3", "ext4", "xfs", "btrfs"}

// findRoot looks into every filesystem for an fstab, mounting it read-only at dir, and chooses the one that
// the system starts from.
func (d *Disk) findRoot(ctx context.Context, dir string) (candidate, error) {
	var l look
	var problems []error
	for _, v := range d.Volumes {
		if !slices.Contains(rootTypes, v.Content.Type) {
			continue
		}
		if err := d.lookInto(ctx, v, dir, &l); err != nil {
			problems = append(problems, fmt.Errorf("partition %d: %w", v.Number, err))
		}
	}
	if d.choice != (Choice{}) {
		return d.chosen(append(l.found, l.others...), problems)
	}
	if len(l.found) == 0 {
		none := fmt.Errorf("no filesystem of the image has an /etc/fstab, by which its root is found; it has %s", d.describe())
		return candidate{}, errors.Join(append([]error{none}, problems...)...)
	}
	found := d.likeliest(l)
	if len(found) == 1 {
		for _, p := range problems {
			slog.Warn("a filesystem of the image is left alone: " + p.Error())
		}
		return found[0], nil
	}
	return candidate{}, fmt.Errorf("which filesystem of the image is its root cannot be told: each of %s has an /etc/fstab; say which with %s", list(found), chooseBy)
}

// describe lists the partitions for an error, and says what cannot be opened.
func (d *Disk) describe() string {
	notes := map[string]string{
		"crypto_LUKS": " (encrypted images are not supported)",
		"LVM2_member": " (images with LVM are not supported)",
	}
	var list []string
	for _, v := range d.Volumes {
		held := cmp.Or(v.Content.Type, "nothing known")
		list = append(list, fmt.Sprintf("partition %d with %s%s", v.Number, held, notes[held]))
	}
	return cmp.Or(strings.Join(list, ", "), "no partitions")
}

// lookInto adds what one filesystem has.
func (d *Disk) lookInto(ctx context.Context, v disk.Volume, dir string, l *look) (err error) {
	options := ""
	if v.Content.Type == "btrfs" {
		options = "subvol=/"
	}
	if err := d.replay(ctx, v); err != nil {
		return err
	}
	unmount, err := mountUnwritten(d.device(v.Number), dir, v.Content.Type, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	trees := []subvolume{{}}
	if v.Content.Type == "btrfs" {
		if trees, err = subvolumes(ctx, dir); err != nil {
			return err
		}
	}
	root, err := rootfs.New(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, s := range trees {
		l.readMenus(root, "/"+s.path)
		data, err := root.ReadFile(path.Join("/", s.path, "etc/fstab"))
		switch {
		case err == nil:
			l.found = append(l.found, candidate{volume: v, subvolume: s, fstab: disk.ParseFstab(string(data))})
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
			l.others = append(l.others, candidate{volume: v, subvolume: s})
		default:
			return err
		}
	}
	return nil
}

// mountUnwritten mounts a filesystem that may be sealed: the kernel writes into an xfs even where it is mounted
// read-only, unless its device is. Journals that must be replayed are.
func mountUnwritten(device, dir, fstype, options string) (unmount func() error, err error) {
	var undo disk.Stack
	if err := disk.SetReadOnly(device, true); err != nil {
		return nil, err
	}
	undo.Push(func() error { return disk.SetReadOnly(device, false) })
	if disk.MountVolume(device, dir, fstype, options, true) != nil {
		if err := undo.Undo(); err != nil {
			return nil, err
		}
		if err := disk.MountVolume(device, dir, fstype, options, true); err != nil {
			return nil, err
		}
	}
	undo.Push(func() error { return disk.Unmount(dir) })
	return undo.Undo, nil
}
