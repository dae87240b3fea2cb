package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

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
	words := append(c[1:len(c):len(c)], d.device(v.Number))
	if err := hostcmd.New(c[0], words...).Reading(d.device(v.Number)).Run(ctx); err != nil {
		return fmt.Errorf("the filesystem of partition %d has errors: %w", v.Number, err)
	}
	return nil
}
