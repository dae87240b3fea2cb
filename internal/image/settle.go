package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
)

// settled are the filesystems whose bytes can be made to depend on nothing but what is written to them.
var settled = []string{"ext2", "ext3", "ext4"}

// Commit has the kernel finish what it does to the filesystems: what is removed makes room only then.
func (d *Disk) Commit() error {
	for _, m := range d.Mounts {
		if m.Kept || m.Staged {
			continue
		}
		p, err := d.Root.Open(m.Path, os.O_RDONLY, 0)
		if err != nil {
			return err
		}
		err = unix.Syncfs(int(p.Fd()))
		p.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// Settle makes unmounted filesystems independent of when they were written: times since a moment become another.
// Check looks at the result, checksums included. Those of the system are meant, or all where nothing was mounted, but
// not those in keep, what is sealed, and what is held.
func (d *Disk) Settle(ctx context.Context, since, at time.Time, keep map[int]bool) error {
	for _, v := range d.Volumes {
		if keep[v.Number] || !slices.Contains(settled, v.Content.Type) || len(d.Mounts) > 0 && !d.settles(v) {
			continue
		}
		if err := d.settle(ctx, v, since, at); err != nil {
			return fmt.Errorf("partition %d: %w", v.Number, err)
		}
	}
	return nil
}

func (d *Disk) settles(v disk.Volume) bool {
	return slices.ContainsFunc(d.Mounts, func(m Mounted) bool {
		return m.Volume.Number == v.Number && !m.Kept && !m.Staged && (d.held == nil || m.Path != bootDir)
	})
}

// SettleBoot is Settle for the filesystem of /boot, which was held beyond the others.
func (d *Disk) SettleBoot(ctx context.Context, since, at time.Time) error {
	for _, m := range d.Mounts {
		if m.Path == bootDir && !m.Staged && slices.Contains(settled, m.Volume.Content.Type) {
			return d.settle(ctx, m.Volume, since, at)
		}
	}
	return nil
}

func (d *Disk) settle(ctx context.Context, v disk.Volume, since, at time.Time) error {
	if err := d.check(ctx, v); err != nil {
		return err
	}
	f, err := os.OpenFile(d.device(v.Number), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = errors.Join(disk.SettleExt(f, since, at), f.Close())
	if errors.Is(err, disk.ErrNotSettled) {
		slog.Warn("the same seed may not give the same bytes", "because", err)
		return nil
	}
	return err
}
