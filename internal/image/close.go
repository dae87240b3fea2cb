package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
)

// Trim makes every filesystem read-only and punches its free blocks out of the disk. A staged copy
// is left alone, and so are what is sealed, whose free blocks are part of its hash, and what is held. It ends
// with the first failure: trimming more would hide that the host's filesystem has run full.
func (d *Disk) Trim() error {
	for _, m := range d.Mounts {
		if m.Staged || m.Kept || d.holds(m.Volume) {
			continue
		}
		if err := d.atMount(m.Path, disk.Trim); err != nil {
			return err
		}
	}
	return nil
}

// Unmount unmounts the tree but keeps the disk attached, for Check.
func (d *Disk) Unmount() error {
	mounts := d.undo[d.attached:]
	d.undo = d.undo[:d.attached]
	return mounts.Undo()
}

// Close undoes everything that Open did.
func (d *Disk) Close() error { return errors.Join(d.ReleaseBoot(), d.undo.Undo()) }

// checkers are the read-only checks of filesystems.
var checkers = map[string][]string{
	"ext2": {"e2fsck", "-fn"}, "ext3": {"e2fsck", "-fn"}, "ext4": {"e2fsck", "-fn"},
	"xfs": {"xfs_repair", "-n"}, "btrfs": {"btrfs", "check", "--readonly"}, "vfat": {"fsck.vfat", "-n"},
}

// Check looks for errors in every filesystem of the unmounted disk, all at once. Errors of those that
// were not mounted are no fault of the run: they are only warned of.
func (d *Disk) Check(ctx context.Context) error {
	errs := make([]error, len(d.Volumes))
	var wg sync.WaitGroup
	for i, v := range d.Volumes {
		wg.Go(func() {
			err := d.check(ctx, v)
			if err != nil && !d.mounted(v) {
				slog.Warn(err.Error())
				return
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (d *Disk) check(ctx context.Context, v disk.Volume) error {
	c := checkers[v.Content.Type]
	if c == nil {
		return nil
	}
	node, remove, err := d.fresh(v.Number)
	if err != nil {
		return err
	}
	words := append(c[1:len(c):len(c)], node)
	if err := hostcmd.New(c[0], words...).Reading(node).Run(ctx); err != nil {
		return errors.Join(fmt.Errorf("the filesystem of partition %d has errors: %w", v.Number, err), remove())
	}
	return remove()
}

// fresh is a node by which a partition is read as it is in the file: what the kernel remembers of the device that was
// written through is no proof that it got there. It is that of the device that only reads, which forgets what it has
// seen before. A new one would have the kernel write the whole file to the host's disk first.
func (d *Disk) fresh(number int) (node string, remove func() error, err error) {
	node = d.nodePath(partName(number)) + "-read"
	if err := unix.Mknod(node, unix.S_IFBLK|0o400, int(d.Nodes[partName(number)])); err != nil {
		return "", nil, fmt.Errorf("make device node %s: %w", node, err)
	}
	remove = func() error { return os.Remove(node) }
	f, err := os.Open(node)
	if err != nil {
		return "", nil, errors.Join(err, remove())
	}
	err = unix.IoctlSetInt(int(f.Fd()), unix.BLKFLSBUF, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", nil, errors.Join(fmt.Errorf("forget what was read of %s before: %w", node, err), remove())
	}
	return node, remove, nil
}
