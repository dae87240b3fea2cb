package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/extent"
	"imagecustomizer/internal/hostcmd"
)

// GrowPartition makes a partition of a detached disk larger by some bytes, a multiple of 1 MiB. Partitions
// behind it move, into what lies idle at the end of the disk first; the disk grows by what is missing then.
func GrowPartition(ctx context.Context, file *os.File, number int, by int64) error {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	t, err := disk.ReadTable(file, size)
	if err != nil {
		return err
	}
	size += max(0, by-t.Idle(size))
	return disk.EditGPT(file, size, func(t *disk.Table) error {
		if err := file.Truncate(size); err != nil {
			return err
		}
		for _, p := range t.GrowPartition(number, by) {
			if err := moveUp(ctx, file, p.Start, p.Size, by); err != nil {
				return fmt.Errorf("move partition %d: %w", p.Number, err)
			}
		}
		return nil
	})
}

// moveUp moves an extent of a file, the end first, since it may overlap with where it goes. What it
// leaves, and its holes, become holes.
func moveUp(ctx context.Context, file *os.File, at, size, by int64) error {
	for end := size; end > 0; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n := min(end, extent.Chunk, by)
		from := at + end - n
		if err := disk.Punch(file, from+by, n); err != nil {
			return err
		}
		if err := extent.CopySparse(file, file, from, from+by, n); err != nil {
			return err
		}
		end -= n
	}
	return disk.Punch(file, at, min(by, size))
}

// Grow makes a partition of a detached disk larger, and an ext filesystem on it: to do that while it is
// mounted takes CAP_SYS_RESOURCE, which containers lack.
func Grow(ctx context.Context, file *os.File, number int, by int64) (err error) {
	if err := GrowPartition(ctx, file, number, by); err != nil {
		return err
	}
	d, err := Attach(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return d.growOffline(ctx, number)
}

// growOffline grows the unmounted ext filesystem of a partition, if it is one, to the partition's size.
func (d *Disk) growOffline(ctx context.Context, number int) error {
	v, err := d.volume(number)
	if err != nil || !strings.HasPrefix(v.Content.Type, "ext") {
		return err
	}
	has, err := disk.FilesystemExtent(d.device(number))
	if err != nil || v.Size-has.Size < has.Block {
		return err
	}
	if err := checkExt(ctx, d.device(number)); err != nil {
		return err
	}
	return hostcmd.New("resize2fs", d.device(number)).Writing(d.device(number)).Run(ctx)
}

// GrowFilesystem grows the mounted filesystem of a partition to the partition's size, where Grow has not.
func (d *Disk) GrowFilesystem(ctx context.Context, number int) error {
	for _, m := range d.Mounts {
		if m.Volume.Number != number {
			continue
		}
		return d.atMount(m.Path, func(dir string) error {
			return disk.GrowMounted(ctx, m.Volume.Content.Type, d.device(number), dir)
		})
	}
	return errors.New("the partition is not mounted")
}
