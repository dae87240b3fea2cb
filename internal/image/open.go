package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
)

// diskName is what the disk is called in the image's /dev. GRUB's tools treat names that begin with
// "loop" specially, and look for the partitions of a disk called vda as vda1, vda2.
const diskName = "vda"

// Mounted is a mounted filesystem of the image.
type Mounted struct {
	Path   string // inside the image
	Volume disk.Volume
}

// Disk is an opened image: attached to a loop device, its tree mounted read-write.
type Disk struct {
	Table   *disk.Table
	Volumes []disk.Volume
	Root    *rootfs.Root
	Mounts  []Mounted         // root first
	Nodes   map[string]uint64 // device nodes for the image's /dev
	Links   map[string]string // symbolic links there, such as disk/by-uuid/...

	loop *disk.Loop
	undo disk.Stack
}

// rootTypes are filesystems that can hold a root.
var rootTypes = []string{"ext2", "ext3", "ext4", "xfs", "btrfs"}

// Open attaches a raw disk and mounts the tree of the system on it at the folder dir.
func Open(ctx context.Context, file *os.File, dir string) (d *Disk, err error) {
	d = &Disk{Nodes: map[string]uint64{}, Links: map[string]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.undo.Undo())
			d = nil
		}
	}()
	if err := d.attach(file); err != nil {
		return d, err
	}
	root, err := d.findRoot(ctx, dir)
	if err != nil {
		return d, err
	}
	return d, d.mountTree(ctx, root, dir)
}

func (d *Disk) attach(file *os.File) error {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if d.Table, err = disk.ReadTable(file, size); err != nil {
		return fmt.Errorf("the disk cannot be opened: %w", err)
	}
	for _, w := range d.Table.Warnings {
		slog.Warn(w)
	}
	for _, p := range d.Table.Partitions {
		v := disk.Volume{Partition: p, Content: disk.Probe(io.NewSectionReader(file, p.Start, p.Size))}
		d.Volumes = append(d.Volumes, v)
		slog.Debug("partition", "number", v.Number, "start", v.Start, "size", v.Size, "holds", v.Content.Type, "uuid", v.Content.UUID, "partuuid", v.Partition.UUID)
	}
	if d.loop, err = disk.AttachLoop(file, "/dev", d.Table.SectorSize); err != nil {
		return err
	}
	d.undo.Push(func() error { return d.loop.Detach() })
	return d.makeNodes()
}

// makeNodes names the disk and its partitions in the worker's /dev and collects what the image's
// /dev will show.
func (d *Disk) makeNodes() error {
	whole, err := d.loop.DeviceNumber()
	if err != nil {
		return err
	}
	parts, err := d.loop.AddPartitions(d.Table)
	if err != nil {
		return err
	}
	d.Nodes[diskName] = whole
	for n, dev := range parts {
		d.Nodes[partName(n)] = dev
	}
	for name, dev := range d.Nodes {
		if err := unix.Mknod("/dev/"+name, unix.S_IFBLK|0o600, int(dev)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("make device node %s: %w", name, err)
		}
	}
	for _, v := range d.Volumes {
		d.link("uuid", v.Content.UUID, v)
		d.link("label", v.Label, v)
		d.link("partuuid", v.Partition.UUID, v)
		d.link("partlabel", v.Name, v)
	}
	return nil
}

func (d *Disk) link(kind, value string, v disk.Volume) {
	if value != "" && !strings.Contains(value, "/") {
		d.Links["disk/by-"+kind+"/"+value] = "../../" + partName(v.Number)
	}
}

func partName(n int) string { return fmt.Sprintf("%s%d", diskName, n) }

func device(v disk.Volume) string { return "/dev/" + partName(v.Number) }

// candidate is a filesystem, or a subvolume of one, that holds an fstab.
type candidate struct {
	volume disk.Volume
	subvol string
	fstab  []disk.Entry
}

// findRoot looks into every filesystem for an fstab. Exactly one must have it.
func (d *Disk) findRoot(ctx context.Context, dir string) (candidate, error) {
	var found []candidate
	for _, v := range d.Volumes {
		if !slices.Contains(rootTypes, v.Content.Type) {
			continue
		}
		c, err := lookInto(ctx, v, dir)
		if err != nil {
			return candidate{}, err
		}
		found = append(found, c...)
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return candidate{}, fmt.Errorf("no filesystem of the image has an /etc/fstab; its partitions are: %s", d.describe())
	}
	var names []string
	for _, c := range found {
		names = append(names, strings.TrimSpace(fmt.Sprintf("partition %d %s", c.volume.Number, c.subvol)))
	}
	return candidate{}, fmt.Errorf("%d filesystems of the image have an /etc/fstab (%s): which one is the root cannot be told", len(found), strings.Join(names, ", "))
}

// describe lists the partitions for an error, and says what cannot be opened.
func (d *Disk) describe() string {
	notes := map[string]string{
		"crypto_LUKS": " (encrypted; encrypted images are not supported)",
		"LVM2_member": " (LVM; images with LVM are not supported)",
	}
	var list []string
	for _, v := range d.Volumes {
		list = append(list, fmt.Sprintf("%d %s%s", v.Number, cmp.Or(v.Content.Type, "unknown"), notes[v.Content.Type]))
	}
	return strings.Join(list, ", ")
}

func lookInto(ctx context.Context, v disk.Volume, dir string) (found []candidate, err error) {
	top := ""
	if v.Content.Type == "btrfs" {
		top = "subvolid=5"
	}
	if err := disk.MountVolume(device(v), dir, v.Content.Type, top, true); err != nil {
		return nil, fmt.Errorf("partition %d: %w", v.Number, err)
	}
	defer func() { err = errors.Join(err, disk.Unmount(dir)) }()
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
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, candidate{v, s, disk.ParseFstab(string(data)).Entries()})
	}
	return found, nil
}

// subvolumes lists the paths of a mounted btrfs's subvolumes.
func subvolumes(ctx context.Context, dir string) ([]string, error) {
	out, err := hostcmd.New("btrfs", "subvolume", "list", dir).Output(ctx)
	if err != nil {
		return nil, err
	}
	var paths []string
	for line := range strings.Lines(out) {
		if _, p, ok := strings.Cut(strings.TrimSpace(line), " path "); ok {
			paths = append(paths, p)
		}
	}
	return paths, nil
}

// mountTree mounts the root and what its fstab adds to it, parents first.
func (d *Disk) mountTree(ctx context.Context, root candidate, dir string) error {
	subvol := root.subvol
	if root.volume.Content.Type == "btrfs" {
		subvol = "subvol=/" + subvol
	}
	if err := disk.MountVolume(device(root.volume), dir, root.volume.Content.Type, subvol, false); err != nil {
		return err
	}
	d.undo.Push(func() error { return disk.Unmount(dir) })
	r, err := rootfs.New(dir)
	if err != nil {
		return err
	}
	d.Root = r
	d.undo.Push(r.Close)
	d.Mounts = []Mounted{{"/", root.volume}}
	entries := slices.Clone(root.fstab)
	slices.SortStableFunc(entries, func(a, b disk.Entry) int {
		return cmp.Compare(strings.Count(a.Target, "/"), strings.Count(b.Target, "/"))
	})
	for _, e := range entries {
		if e.Target == "/" || e.Use() == disk.Ignore || slices.Contains(e.Options, "noauto") {
			continue
		}
		if err := d.mountEntry(ctx, e); err != nil {
			return fmt.Errorf("mount %s: %w", e.Target, err)
		}
	}
	return nil
}

func (d *Disk) mountEntry(ctx context.Context, e disk.Entry) error {
	if e.Use() == disk.Data {
		return d.coverData(e)
	}
	v, err := disk.Find(d.Volumes, e.Source)
	if err != nil {
		if slices.Contains(e.Options, "nofail") {
			slog.Warn("left alone: "+err.Error(), "mount", e.Target)
			return nil
		}
		return err
	}
	target, err := d.mountPoint(e.Target)
	if err != nil {
		return err
	}
	d.Mounts = append(d.Mounts, Mounted{e.Target, *v})
	if v.Content.Type == "vfat" {
		f, err := disk.OpenFAT(ctx, device(*v), target)
		if err != nil {
			return err
		}
		// Writing back must not be cut short by a cancelled run: the disk is thrown away then anyway.
		d.undo.Push(func() error { return f.Close(context.WithoutCancel(ctx)) })
		return nil
	}
	if err := disk.MountVolume(device(*v), target, v.Content.Type, disk.KeptOptions(v.Content.Type, e.Options), false); err != nil {
		return err
	}
	d.undo.Push(func() error { return disk.Unmount(target) })
	return nil
}

// coverData puts an empty, read-only filesystem where the image will have a disk of its own, so that
// nothing is written into the mount point by mistake.
func (d *Disk) coverData(e disk.Entry) error {
	target, err := d.mountPoint(e.Target)
	if err != nil {
		return err
	}
	if err := unix.Mount("data", target, "tmpfs", unix.MS_RDONLY, "size=4k"); err != nil {
		return err
	}
	d.undo.Push(func() error { return disk.Unmount(target) })
	return nil
}

// mountPoint resolves a path inside the image, making the folder where it is missing, and returns
// where it really lies.
func (d *Disk) mountPoint(name string) (string, error) {
	if err := d.Root.MkdirAll(name, 0o755); err != nil {
		return "", err
	}
	f, err := d.Root.OpenPath(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}

// Trim punches the free blocks of every filesystem out of the disk.
func (d *Disk) Trim() error {
	var errs []error
	for _, m := range d.Mounts {
		if m.Volume.Content.Type != "vfat" {
			p, err := d.mountPoint(m.Path)
			if err == nil {
				err = disk.Trim(p)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Unmount unmounts the tree but keeps the disk attached, for Check.
func (d *Disk) Unmount() error {
	mounts := d.undo[1:]
	d.undo = d.undo[:1]
	return mounts.Undo()
}

// Close undoes everything that Open did.
func (d *Disk) Close() error { return d.undo.Undo() }

// checkers are the read-only checks of filesystems.
var checkers = map[string][]string{
	"ext2": {"e2fsck", "-fn"}, "ext3": {"e2fsck", "-fn"}, "ext4": {"e2fsck", "-fn"},
	"xfs": {"xfs_repair", "-n"}, "btrfs": {"btrfs", "check", "--readonly"}, "vfat": {"fsck.vfat", "-n"},
}

// Check looks for errors in every filesystem of the unmounted disk, all at once.
func (d *Disk) Check(ctx context.Context) error {
	results := make(chan error)
	n := 0
	for _, v := range d.Volumes {
		if c := checkers[v.Content.Type]; c != nil {
			n++
			go func() {
				err := hostcmd.New(c[0], append(c[1:len(c):len(c)], device(v))...).Run(ctx)
				if err != nil {
					err = fmt.Errorf("the filesystem of partition %d has errors: %w", v.Number, err)
				}
				results <- err
			}()
		}
	}
	var errs []error
	for range n {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}
