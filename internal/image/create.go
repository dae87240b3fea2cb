package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
)

// Create makes a disk of an empty file: the partition table and the filesystems of the layout, which
// it mounts at the folder dir.
func Create(ctx context.Context, file *os.File, l *disk.Layout, dir string) (*Disk, error) {
	d := &Disk{Table: &l.Table, Links: map[string]string{}, file: file, node: diskName}
	if err := d.create(ctx, file, l, dir); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Disk) create(ctx context.Context, file *os.File, l *disk.Layout, dir string) error {
	if err := file.Truncate(l.Size); err != nil {
		return err
	}
	if err := l.Table.WriteGPT(file, l.Size); err != nil {
		return err
	}
	if err := d.attach(file); err != nil {
		return err
	}
	for _, f := range l.Filesystems {
		if err := f.Make(ctx, d.device(f.Partition)); err != nil {
			return err
		}
	}
	for _, p := range l.Table.Partitions {
		content, err := probeDevice(d.device(p.Number))
		if err != nil {
			return err
		}
		d.Volumes = append(d.Volumes, disk.Volume{Partition: p, Content: content})
	}
	d.linkVolumes()
	for _, f := range l.Filesystems {
		if err := d.makeSubvolumes(ctx, f, dir); err != nil {
			return err
		}
	}
	return d.mountLayout(ctx, l, dir)
}

func probeDevice(path string) (disk.Content, error) {
	f, err := os.Open(path)
	if err != nil {
		return disk.Content{}, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return disk.Content{}, err
	}
	return disk.Probe(io.NewSectionReader(f, 0, size)), nil
}

// makeSubvolumes makes the subvolumes of a btrfs, with it mounted at dir meanwhile.
func (d *Disk) makeSubvolumes(ctx context.Context, f disk.Format, dir string) (err error) {
	if len(f.Subvolumes) == 0 {
		return nil
	}
	if err := disk.MountVolume(d.device(f.Partition), dir, "btrfs", "subvol=/", false); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Unmount(dir)) }()
	root, err := rootfs.New(dir)
	if err != nil {
		return err
	}
	defer root.Close() // before it is unmounted
	quota := false
	for _, s := range f.Subvolumes {
		where := path.Join(dir, s.Path)
		if err := root.MkdirAll(path.Dir(s.Path), 0o755); err != nil {
			return err
		}
		if err := hostcmd.New("btrfs", "-q", "subvolume", "create", where).Writing(dir).Run(ctx); err != nil {
			return err
		}
		quota = quota || s.Referenced+s.Exclusive > 0
	}
	if !quota {
		return nil
	}
	if err := hostcmd.New("btrfs", "quota", "enable", dir).Writing(dir).Run(ctx); err != nil {
		return err
	}
	for _, s := range f.Subvolumes {
		if err := limit(ctx, path.Join(dir, s.Path), s); err != nil {
			return err
		}
	}
	return nil
}

func limit(ctx context.Context, where string, s disk.Subvolume) error {
	if s.Referenced > 0 {
		if err := hostcmd.New("btrfs", "qgroup", "limit", strconv.FormatInt(s.Referenced, 10), where).Writing(where).Run(ctx); err != nil {
			return err
		}
	}
	if s.Exclusive > 0 {
		return hostcmd.New("btrfs", "qgroup", "limit", "-e", strconv.FormatInt(s.Exclusive, 10), where).Writing(where).Run(ctx)
	}
	return nil
}

// mountLayout mounts the new filesystems, the root first.
func (d *Disk) mountLayout(ctx context.Context, l *disk.Layout, dir string) error {
	for _, m := range l.Mounts {
		v, err := d.volume(m.Partition)
		if err != nil {
			return err
		}
		if m.Entry.Target == "/" {
			if err := d.mountVolume(ctx, v, dir, disk.KeptOptions(v.Content.Type, m.Entry.Options), false); err != nil {
				return err
			}
			if d.Root, err = rootfs.New(dir); err != nil {
				return err
			}
			d.undo.Push(d.Root.Close)
			d.Mounts = append(d.Mounts, Mounted{Path: "/", Volume: v})
			continue
		}
		if err := d.mountEntry(ctx, disk.Claim{Entry: m.Entry, Use: disk.Mount, Volume: &v}); err != nil {
			return fmt.Errorf("mount %s: %w", m.Entry.Target, err)
		}
	}
	d.noteSubvolumes()
	return nil
}

func (d *Disk) volume(number int) (disk.Volume, error) {
	for _, v := range d.Volumes {
		if v.Number == number {
			return v, nil
		}
	}
	return disk.Volume{}, fmt.Errorf("there is no partition %d", number)
}

// Room is how many bytes and files a mounted filesystem still takes; 0 files means that it does not
// count them.
func (d *Disk) Room(mountPoint string) (bytes, files int64, err error) {
	var s unix.Statfs_t
	if err := d.atMount(mountPoint, func(dir string) error { return unix.Statfs(dir, &s) }); err != nil {
		return 0, 0, err
	}
	if s.Files == 0 {
		return int64(s.Bfree) * s.Bsize, 0, nil
	}
	return int64(s.Bfree) * s.Bsize, int64(s.Ffree), nil
}
