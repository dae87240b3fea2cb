package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
)

// Attach attaches a raw disk without mounting anything of it.
func Attach(file *os.File) (*Disk, error) {
	d := &Disk{Links: map[string]string{}, node: diskName}
	if err := d.read(file); err != nil {
		return nil, err
	}
	if err := d.attach(file); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// shrinkable are the filesystems that can be made as small as their content.
var shrinkable = []string{"ext2", "ext3", "ext4", "btrfs", "xfs"}

// partitionUnit is what sizes of partitions are multiples of.
const partitionUnit = 1 << 20

func whole(size int64) int64 { return (size + partitionUnit - 1) / partitionUnit * partitionUnit }

// Shrink shrinks the filesystems of the unmounted disk, and their partitions with them, but for the
// partitions to keep. A filesystem that does not cover its partition is kept too: something may lie
// behind it. What is free afterwards becomes a hole of the file. Where partitions begin does not change.
func (d *Disk) Shrink(ctx context.Context, file *os.File, headroom int64, keep map[int]bool) error {
	sizes := map[int]int64{}
	for _, v := range d.Volumes {
		if !slices.Contains(shrinkable, v.Content.Type) || keep[v.Number] || d.holds(v) {
			continue
		}
		size, err := d.shrink(ctx, file, v, headroom)
		if err != nil {
			return fmt.Errorf("shrink the %s filesystem of partition %d: %w", v.Content.Type, v.Number, err)
		}
		if size < v.Size {
			sizes[v.Number] = size
		}
	}
	return d.resize(file, sizes)
}

// shrink returns the size that a volume's partition can have.
func (d *Disk) shrink(ctx context.Context, file *os.File, v disk.Volume, headroom int64) (int64, error) {
	dev := d.device(v.Number)
	has, err := disk.FilesystemExtent(dev)
	if err != nil {
		return 0, err
	}
	const largestBlock = 64 << 10
	if v.Size-has.Size >= largestBlock {
		slog.Info("left as it is: the filesystem does not cover its partition", "partition", v.Number, "filesystem", has.Size, "size", v.Size)
		return v.Size, nil
	}
	switch v.Content.Type {
	case "xfs":
		err = d.shrinkXFS(ctx, file, v, headroom)
	case "btrfs":
		err = shrinkBtrfs(ctx, dev, headroom)
	default:
		err = d.shrinkExt(ctx, file, v, headroom)
	}
	if err != nil {
		return 0, err
	}
	left, err := disk.FilesystemExtent(dev)
	slog.Debug("shrunk", "partition", v.Number, "from", has.Size, "to", left.Size)
	return whole(left.Size), err
}

// resize gives partitions other sizes, in the table and in the kernel, and punches out what they lose.
func (d *Disk) resize(file *os.File, sizes map[int]int64) error {
	if len(sizes) == 0 {
		return nil
	}
	if err := d.loop.Sync(); err != nil {
		return err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for i, v := range d.Volumes {
		n, changed := sizes[v.Number]
		if !changed {
			continue
		}
		d.Volumes[i].Size = n
		if err := d.loop.ResizePartition(d.Volumes[i].Partition); err != nil {
			return err
		}
		if err := disk.Punch(file, v.Start+n, v.Size-n); err != nil {
			return err
		}
	}
	for i, m := range d.Mounts {
		if n, changed := sizes[m.Volume.Number]; changed {
			d.Mounts[i].Volume.Size = n
		}
	}
	return disk.EditGPT(file, size, func(t *disk.Table) error {
		for i, p := range t.Partitions {
			if n, changed := sizes[p.Number]; changed {
				t.Partitions[i].Size = n
			}
		}
		d.Table = t
		return nil
	})
}

// shrinkBtrfs tries sizes, from one that holds little more than the data up to the present one, until
// the kernel can move everything below. (btrfs inspect-internal min-dev-size says where the last chunk
// ends, not where it could end, and balancing first makes that worse.)
func shrinkBtrfs(ctx context.Context, dev string, headroom int64) error {
	has, err := disk.FilesystemExtent(dev)
	if err != nil {
		return err
	}
	want := int64(0)
	if err := withBtrfs(dev, func(dir string) error {
		size, free, err := disk.Space(dir)
		const leastSize, chunks = 256 << 20, 96 << 20 // the kernel's limit; room for chunks of metadata
		used := int64(size - free)
		want = max(leastSize, used+used/8+chunks+headroom)
		return err
	}); err != nil {
		return err
	}
	for ; want < has.Size; want += want / 2 {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		err := withBtrfs(dev, func(dir string) error {
			if err := hostcmd.New("btrfs", "filesystem", "resize", strconv.FormatInt(whole(want), 10), dir).Writing(dir).Run(ctx); err != nil {
				return err
			}
			return disk.Trim(dir)
		})
		if err == nil {
			break
		}
		slog.Debug("a btrfs does not shrink that far", "size", want, "error", err)
	}
	return nil
}

// withBtrfs mounts a btrfs for the time of f. What fails in the kernel can leave it read-only until it is
// unmounted.
func withBtrfs(dev string, f func(dir string) error) (err error) {
	dir, err := os.MkdirTemp("", "btrfs")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(dir)) }()
	if err := disk.MountVolume(dev, dir, "btrfs", "subvolid=5", false); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Unmount(dir)) }()
	return f(dir)
}

// CutDisk ends a detached disk behind its last partition and the backup of the partition table.
func CutDisk(file *os.File) error {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	t, err := disk.ReadTable(file, size)
	if err != nil {
		return err
	}
	last := t.Partitions[len(t.Partitions)-1]
	return disk.EditGPT(file, min(size, whole(last.Start+last.Size)+partitionUnit), func(*disk.Table) error { return nil })
}
