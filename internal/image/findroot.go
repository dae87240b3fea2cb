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
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
)

// rootTypes are filesystems that can hold a root.
var rootTypes = []string{"ext2", "ext3", "ext4", "xfs", "btrfs"}

// candidate is a filesystem, or a subvolume of one, that holds an fstab.
type candidate struct {
	volume disk.Volume
	subvol string // path of a btrfs subvolume; empty means the whole filesystem
	fstab  disk.Fstab
}

func (c candidate) String() string {
	if c.subvol == "" {
		return fmt.Sprintf("partition %d", c.volume.Number)
	}
	return fmt.Sprintf("partition %d subvolume %s", c.volume.Number, c.subvol)
}

// findRoot looks into every filesystem for an fstab, mounting it read-only at dir. Exactly one must
// have it.
func (d *Disk) findRoot(ctx context.Context, dir string) (candidate, error) {
	var found []candidate
	var problems []error
	for _, v := range d.Volumes {
		if !slices.Contains(rootTypes, v.Content.Type) {
			continue
		}
		c, err := d.lookInto(ctx, v, dir)
		if err != nil {
			problems = append(problems, fmt.Errorf("partition %d: %w", v.Number, err))
		}
		found = append(found, c...)
	}
	if len(found) == 1 {
		for _, p := range problems {
			slog.Warn("a filesystem of the image is left alone: " + p.Error())
		}
		return found[0], nil
	}
	if len(found) == 0 {
		none := fmt.Errorf("no filesystem of the image has an /etc/fstab, by which its root is found; it has %s", d.describe())
		return candidate{}, errors.Join(append([]error{none}, problems...)...)
	}
	var names []string
	for _, c := range found {
		names = append(names, c.String())
	}
	return candidate{}, fmt.Errorf("which filesystem of the image is its root cannot be told: each of %s has an /etc/fstab", strings.Join(names, ", "))
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

func (d *Disk) lookInto(ctx context.Context, v disk.Volume, dir string) (found []candidate, err error) {
	options := ""
	if v.Content.Type == "btrfs" {
		options = "subvol=/"
	}
	if err := d.replay(ctx, v); err != nil {
		return nil, err
	}
	unmount, err := mountUnwritten(d.device(v.Number), dir, v.Content.Type, options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	subvols := []string{""}
	if v.Content.Type == "btrfs" {
		more, err := subvolumes(ctx, dir)
		if err != nil {
			return nil, err
		}
		subvols = append(subvols, more...)
	}
	root, err := rootfs.New(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for _, s := range subvols {
		data, err := root.ReadFile(path.Join("/", s, "etc/fstab"))
		switch {
		case err == nil:
			found = append(found, candidate{v, s, disk.ParseFstab(string(data))})
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR):
			return nil, err
		}
	}
	return found, nil
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

// subvolumes lists the paths of a mounted btrfs's subvolumes.
func subvolumes(ctx context.Context, dir string) ([]string, error) {
	out, err := hostcmd.New("btrfs", "subvolume", "list", dir).Reading(dir).Output(ctx)
	if err != nil {
		return nil, err
	}
	var paths []string
	for line := range strings.Lines(out) {
		if _, p, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " path "); ok {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return paths, nil
}
