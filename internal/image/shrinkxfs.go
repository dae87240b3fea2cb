package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/extent"
	"imagecustomizer/internal/filetree"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
)

// shrinkXFS makes the xfs of a partition anew and smaller, since there is no program that shrinks one: the
// new one is made behind the end of the disk, filled with the files, compared, and moved to the beginning
// of the partition. One that would not be smaller, or cannot be made alike, is left alone.
func (d *Disk) shrinkXFS(ctx context.Context, file *os.File, v disk.Volume, headroom int64) error {
	format, err := xfsLike(ctx, d.device(v.Number), v)
	if err != nil {
		slog.Warn("left as it is: the xfs filesystem cannot be made anew", "partition", v.Number, "because", err)
		return nil
	}
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	place := disk.Partition{Number: v.Number, Start: whole(end)}
	place.Size, err = d.rebuildXFS(ctx, file, v, place.Start, headroom, format)
	if err == nil && place.Size > 0 {
		err = d.moveDown(ctx, file, v, place)
	}
	return errors.Join(err, file.Truncate(end))
}

// xfsValue finds the values that xfs_info prints.
var xfsValue = regexp.MustCompile(`([a-z0-9-]+)=([a-z0-9]+)`)

// xfsLike describes the filesystem on a device, so that the same program makes another like it.
func xfsLike(ctx context.Context, device string, v disk.Volume) (disk.Format, error) {
	f := disk.Format{Partition: v.Number, Type: "xfs", UUID: v.Content.UUID, Label: v.Label}
	text, err := hostcmd.New("xfs_info", device).Writing(device).Output(ctx)
	if err != nil {
		return f, err
	}
	values := map[string]string{}
	for line := range strings.Lines(text) {
		section, _, _ := strings.Cut(line, "=")
		for _, m := range xfsValue.FindAllStringSubmatch(line, -1) {
			if m[2] == "1" {
				f.Features = append(f.Features, m[1])
			}
			if key := strings.TrimSpace(section) + " " + m[1]; values[key] == "" {
				values[key] = m[2]
			}
		}
	}
	for key, usual := range map[string]string{
		"meta-data isize": "512", " crc": "1", "data bsize": "4096", "naming bsize": "4096", "naming ascii-ci": "0", "naming ftype": "1",
	} {
		if got := values[key]; got != usual {
			return f, fmt.Errorf("its %s is %q, not the usual %s", strings.TrimSpace(key), got, usual)
		}
	}
	if !strings.Contains(text, "=internal") || !strings.Contains(text, "realtime =none") {
		return f, errors.New("a part of it lies on another device")
	}
	return f, nil
}

// xfsTries bounds how often a filesystem is made larger because its content does not fit.
const xfsTries = 5

// rebuildXFS makes the smaller filesystem at a place of the file, and returns its size; 0 where it would
// not be smaller.
func (d *Disk) rebuildXFS(ctx context.Context, file *os.File, v disk.Volume, at, headroom int64, format disk.Format) (size int64, err error) {
	dir, err := os.MkdirTemp("", "xfs")
	if err != nil {
		return 0, err
	}
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := errors.Join(os.Mkdir(from, 0o700), os.Mkdir(to, 0o700)); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.Remove(from), os.Remove(to), os.Remove(dir)) }()
	if err := disk.MountVolume(d.device(v.Number), from, "xfs", "", true); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, disk.Unmount(from)) }()
	var use map[string]filetree.Usage
	if err := rootfs.With(func(roots ...*rootfs.Root) error {
		use, err = filetree.Measure(ctx, roots[0], filetree.Options{Tops: []string{""}})
		return err
	}, from); err != nil {
		return 0, err
	}
	const least = 300 << 20 // that mkfs.xfs makes
	size = max(least, whole(xfsNeeds(use[""])+headroom))
	for range xfsTries {
		if size >= v.Size {
			return 0, nil
		}
		place := disk.Partition{Number: v.Number, Start: at, Size: size}
		missing, err := d.fillXFS(ctx, file, place, format, from, to, xfsNeeds(use[""])+headroom)
		if err != nil || missing == 0 {
			return size, err
		}
		size = whole(size + missing)
	}
	return 0, nil
}

// xfsNeeds is how much room files need: their blocks, and an inode and a directory entry each.
func xfsNeeds(u filetree.Usage) int64 {
	const inode = 640
	return u.Bytes + u.Bytes/64 + u.Files*inode
}

// fillXFS makes a filesystem at a place behind the disk and copies the tree to it. Where that needs more
// room than there is, it only says how much is missing.
func (d *Disk) fillXFS(ctx context.Context, file *os.File, place disk.Partition, format disk.Format, from, to string, need int64) (missing int64, err error) {
	if err := errors.Join(disk.Punch(file, place.Start, place.Size), file.Truncate(place.Start+place.Size)); err != nil {
		return 0, err
	}
	l, err := disk.AttachPart(file, "/dev", d.Table.SectorSize, place)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Detach()) }()
	if err := format.Make(ctx, l.Node()); err != nil {
		return 0, err
	}
	if err := disk.MountVolume(l.Node(), to, "xfs", "", false); err != nil {
		return 0, err
	}
	m, err := disk.Watch(to)
	if err != nil {
		return 0, errors.Join(err, disk.Unmount(to))
	}
	defer func() { err = errors.Join(err, m.Unmount()) }()
	_, free, err := disk.Space(to)
	if err != nil || int64(free) < need {
		return need - int64(free), err
	}
	err = rootfs.With(func(roots ...*rootfs.Root) error {
		o := filetree.Options{Tops: []string{""}}
		if err := filetree.Copy(ctx, roots[0], roots[1], o); err != nil {
			return err
		}
		return filetree.Compare(ctx, roots[0], roots[1], o)
	}, from, to)
	if errors.Is(err, unix.ENOSPC) {
		return max(need/16, partitionUnit), nil
	}
	return 0, err
}

// moveDown moves a finished filesystem to the beginning of the partition of a volume.
func (d *Disk) moveDown(ctx context.Context, file *os.File, v disk.Volume, from disk.Partition) error {
	if err := d.loop.Sync(); err != nil {
		return err
	}
	if err := disk.Punch(file, v.Start, v.Size); err != nil {
		return err
	}
	for at := from.Start; at < from.Start+from.Size; at += extent.Chunk {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n := min(extent.Chunk, from.Start+from.Size-at)
		if err := extent.CopySparse(file, file, at, at+v.Start-from.Start, n); err != nil {
			return err
		}
		if err := disk.Punch(file, at, n); err != nil {
			return err
		}
	}
	return nil
}
