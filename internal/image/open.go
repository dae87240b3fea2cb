// Package image opens a disk: it finds the partitions and the root, checks the filesystems, mounts them, and closes them again.
package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/rootfs"
)

// diskName is what the disk is called in the image's /dev. GRUB's menu script takes a device called
// loopN for the file behind it; that of a virtual machine's disk it takes as it is.
const diskName = "vda"

// oldDiskName is what a disk is called in the worker's /dev that a new one will take the place of.
// Mounts have the name they were made by, and GRUB looks it up in the image's /dev.
const oldDiskName = "vdb"

// Mounted is a mounted filesystem of the image.
type Mounted struct {
	Path   string // inside the image
	Volume disk.Volume
	Staged bool // a copy that is written back when it is unmounted, see disk.FAT
	Kept   bool // sealed by dm-verity, and neither written to nor trimmed

	Subvolume string // path of the btrfs subvolume; empty on other filesystems. Known when all is mounted.
}

// Disk is an opened image: attached to a loop device, its tree mounted read-write.
type Disk struct {
	Table   *disk.Table
	Volumes []disk.Volume
	Root    *rootfs.Root
	Mounts  []Mounted         // root first
	Sealed  []Sealed          // dm-verity devices that the image had when it was opened
	Covered []string          // mount points of disks that the image gets where it runs
	Nodes   map[string]uint64 // device nodes for the image's /dev, which only read
	Own     map[string]uint64 // nodes of the same names that the disk is changed by
	Links   map[string]string // symbolic links there, such as disk/by-uuid/...

	file     *os.File
	loop     *disk.Loop
	attached int    // how much of undo detaches the disk
	node     string // what the disk is called in the worker's /dev
	undo     disk.Stack
	held     *heldBoot
	preened  map[int]bool // partitions whose filesystems were looked at before they were mounted
	reseal   bool
	readOnly bool
	choice   Choice
}

// Open attaches a raw disk and mounts the tree of the system on it at the folder dir. It makes nodes
// of the disk in the worker's /dev. The root is looked for, unless it is chosen.
func Open(ctx context.Context, file *os.File, dir string, root ...Choice) (*Disk, error) {
	return openDisk(ctx, dir, &Disk{file: file, node: diskName}, root)
}

// OpenToReseal is Open, but filesystems sealed by dm-verity are mounted for writing: each must be
// sealed again.
func OpenToReseal(ctx context.Context, file *os.File, dir string, root ...Choice) (*Disk, error) {
	return openDisk(ctx, dir, &Disk{file: file, node: diskName, reseal: true}, root)
}

// OpenOld is Open for a disk that a new one is to take the place of, which will have its names.
func OpenOld(ctx context.Context, file *os.File, dir string, root ...Choice) (*Disk, error) {
	return openDisk(ctx, dir, &Disk{file: file, node: oldDiskName}, root)
}

// OpenReadOnly is OpenOld for a file that is open for reading only. It fails where something would have
// to be repaired first: a journal to be replayed, a damaged partition table.
func OpenReadOnly(ctx context.Context, file *os.File, dir string, root ...Choice) (*Disk, error) {
	return openDisk(ctx, dir, &Disk{file: file, node: oldDiskName, readOnly: true}, root)
}

func openDisk(ctx context.Context, dir string, d *Disk, root []Choice) (*Disk, error) {
	if len(root) > 0 {
		d.choice = root[0]
	}
	d.Links = map[string]string{}
	if err := d.open(ctx, d.file, dir); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Disk) open(ctx context.Context, file *os.File, dir string) error {
	if err := d.read(file); err != nil {
		return err
	}
	if err := d.attach(file); err != nil {
		return err
	}
	root, err := d.findRoot(ctx, dir)
	if err != nil {
		return err
	}
	return d.mountTree(ctx, root, dir)
}

// read finds out what is on the disk.
func (d *Disk) read(file *os.File) error {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	d.Table, err = disk.ReadTable(file, size)
	if errors.Is(err, disk.ErrNoTable) {
		return fmt.Errorf("the image has no partition table (it holds %s)", cmp.Or(disk.Probe(file).Type, "nothing known"))
	}
	if err != nil {
		return err
	}
	for _, w := range d.Table.Warnings {
		slog.Warn(w)
	}
	if d.Table.Damaged && d.readOnly {
		return errors.New("the partition table must be repaired")
	}
	if d.Table.Damaged {
		if err := disk.RepairGPT(file, d.Table, size); err != nil {
			return err
		}
	}
	d.Volumes = disk.Volumes(file, d.Table)
	for _, v := range d.Volumes {
		slog.Debug("partition", "number", v.Number, "start", v.Start, "size", v.Size, "holds", v.Content.Type, "uuid", v.Content.UUID, "partuuid", v.Partition.UUID)
	}
	return nil
}

// attach attaches the disk, names it and its partitions in the worker's /dev, and collects what the
// image's /dev will show: a second device, which only reads, so that no program of the image writes past a
// filesystem. There grub-mkconfig finds the root by its node, and writes root=UUID= only
// where disk/by-uuid has it.
func (d *Disk) attach(file *os.File) (err error) {
	if d.loop, err = disk.AttachLoop(file, "/dev", d.Table.SectorSize); err != nil {
		return err
	}
	if d.Own, err = d.numbers(d.loop, file, disk.AttachPart); err != nil {
		return err
	}
	if d.Nodes = d.Own; !d.readOnly {
		view, err := disk.AttachView(file, "/dev", d.Table.SectorSize)
		if err != nil {
			return err
		}
		if d.Nodes, err = d.numbers(view, file, disk.AttachPartView); err != nil {
			return err
		}
	}
	d.linkVolumes()
	if err := d.makeNodes(); err != nil {
		return err
	}
	d.undo.Push(d.forget)
	d.attached = len(d.undo)
	return nil
}

// forget has the kernel forget what it remembers of the disk's filesystems.
func (d *Disk) forget() error {
	var errs []error
	for _, v := range d.Volumes {
		if v.Content.Type == "btrfs" {
			errs = append(errs, disk.ForgetBtrfs(d.device(v.Number)))
		}
	}
	return errors.Join(errs...)
}

// numbers are the device numbers of an attached disk and its partitions, by their names in the image.
func (d *Disk) numbers(l *disk.Loop, file *os.File, part attachPart) (map[string]uint64, error) {
	d.undo.Push(l.Detach)
	whole, err := l.DeviceNumber()
	if err != nil {
		return nil, err
	}
	parts, err := l.AddPartitions(d.Table)
	if errors.Is(err, disk.ErrNoPartitions) {
		slog.Debug("each partition is attached to a loop device of its own", "because", err)
		parts, err = d.attachParts(file, part)
	}
	if err != nil {
		return nil, err
	}
	numbers := map[string]uint64{diskName: whole}
	for n, dev := range parts {
		numbers[partName(n)] = dev
	}
	return numbers, nil
}

type attachPart func(file *os.File, nodes string, sector int, p disk.Partition) (*disk.Loop, error)

// attachParts attaches every partition on its own and returns the device numbers.
func (d *Disk) attachParts(file *os.File, attach attachPart) (map[int]uint64, error) {
	numbers := map[int]uint64{}
	for _, p := range d.Table.Partitions {
		l, err := attach(file, "/dev", d.Table.SectorSize, p)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", p.Number, err)
		}
		d.undo.Push(l.Detach)
		if numbers[p.Number], err = l.DeviceNumber(); err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

func (d *Disk) linkVolumes() {
	for _, v := range d.Volumes {
		for _, l := range v.Links() {
			d.Links[l] = "../../" + partName(v.Number)
		}
	}
}

func (d *Disk) makeNodes() error {
	for name, number := range d.Own {
		path := d.nodePath(name)
		if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(number)); err != nil {
			return fmt.Errorf("make device node %s: %w", path, err)
		}
		d.undo.Push(func() error { return os.Remove(path) })
	}
	return nil
}

func (d *Disk) nodePath(name string) string {
	return "/dev/" + disk.ToolPrefix + d.node + strings.TrimPrefix(name, diskName)
}

func partName(n int) string { return fmt.Sprintf("%s%d", diskName, n) }

// mounted tells whether a filesystem of the volume belongs to the tree of the system.
func (d *Disk) mounted(v disk.Volume) bool {
	return slices.ContainsFunc(d.Mounts, func(m Mounted) bool { return m.Volume.Number == v.Number })
}

// device is the node of a volume in the worker's /dev.
func (d *Disk) device(number int) string { return d.nodePath(partName(number)) }

// mountTree mounts the root and what its fstab adds to it, parents first.
func (d *Disk) mountTree(ctx context.Context, root candidate, dir string) error {
	options := ""
	if root.volume.Content.Type == "btrfs" {
		options = "subvol=/" + root.subvolume.path
	}
	kept := root.sealed() && !d.reseal
	if err := d.mountVolume(ctx, root.volume, dir, options, kept); err != nil {
		return err
	}
	var err error
	if d.Root, err = rootfs.New(dir); err != nil {
		return err
	}
	d.undo.Push(d.Root.Close)
	d.Mounts = []Mounted{{Path: "/", Volume: root.volume, Kept: kept}}
	for _, c := range mountOrder(root.fstab.Claims(d.Volumes)) {
		if c.Target == "/" && !root.sealed() {
			d.compareRoot(c, root.volume)
		}
		if c.Target == "/" {
			continue
		}
		if err := d.mountEntry(ctx, c); err != nil {
			return fmt.Errorf("mount %s: %w", c.Target, err)
		}
	}
	d.noteSubvolumes()
	if root.sealed() {
		if err := d.checkSealedRoot(root.volume); err != nil {
			return err
		}
	}
	return d.mountLooseESP(ctx, root.fstab)
}

// mountOrder lists what an fstab mounts, parents first, and /boot first of those, since it tells what
// verity devices are.
func mountOrder(claims []disk.Claim) []disk.Claim {
	depth := func(e disk.Claim) int {
		if e.Target == "/boot" {
			return 0
		}
		return strings.Count(e.Target, "/")
	}
	slices.SortStableFunc(claims, func(a, b disk.Claim) int { return cmp.Compare(depth(a), depth(b)) })
	return claims
}

// compareRoot warns of an fstab that names another root than the one it lies on.
func (d *Disk) compareRoot(c disk.Claim, root disk.Volume) {
	if v := c.Volume; v == nil || v.Number != root.Number {
		slog.Warn("the fstab of the image names another root than the filesystem it lies on", "names", c.Source, "partition", root.Number)
	}
}

// hintElsewhere says what to do about a filesystem of the system that the image does not have.
const hintElsewhere = "if it is a disk that the image gets where it runs, give the line the mount option nofail or noauto"

func (d *Disk) mountEntry(ctx context.Context, e disk.Claim) error {
	if name, ok := sealedName(e.Source); ok && e.Use == disk.Mount {
		return d.mountSealed(ctx, name, e.Entry)
	}
	if e.Fatal {
		return fmt.Errorf("%s; %s", e.Why, hintElsewhere)
	}
	if e.Why != "" && e.Use != disk.Swap {
		slog.Warn("left alone: "+e.Why, "mount", e.Target)
	}
	switch e.Use {
	case disk.Ignore, disk.Swap:
		return nil
	case disk.Data:
		return d.coverData(e.Target)
	}
	v := e.Volume
	target, err := d.mountTarget(e.Target)
	if err != nil {
		return err
	}
	if v.Content.Type == "vfat" && d.mounted(*v) { // two staged copies would overwrite each other
		slog.Warn("left alone: this partition is mounted elsewhere already", "mount", e.Target, "partition", v.Number)
		return d.coverData(e.Target)
	}
	if v.Content.Type == "vfat" {
		return d.mountFAT(ctx, e.Target, *v, target)
	}
	d.Mounts = append(d.Mounts, Mounted{Path: e.Target, Volume: *v})
	return d.mountVolume(ctx, *v, target, disk.KeptOptions(v.Content.Type, e.Options), false)
}

// mountVolume mounts a filesystem, without a byte of it being written where it is sealed.
func (d *Disk) mountVolume(ctx context.Context, v disk.Volume, target, options string, sealed bool) error {
	if !sealed && !d.preened[v.Number] { // what is mounted, as where fstab has it twice, cannot be checked again
		if err := d.preen(ctx, v); err != nil {
			return fmt.Errorf("partition %d: %w", v.Number, err)
		}
		if d.preened == nil {
			d.preened = map[int]bool{}
		}
		d.preened[v.Number] = true
	}
	if o := noReplay[v.Content.Type]; sealed && o != "" {
		options = strings.TrimPrefix(options+","+o, ",")
	}
	if err := disk.MountVolume(d.device(v.Number), target, v.Content.Type, options, sealed || d.readOnly); err != nil {
		return fmt.Errorf("partition %d: %w", v.Number, err)
	}
	m, err := disk.Watch(target)
	if err != nil {
		return errors.Join(err, disk.Unmount(target))
	}
	d.undo.Push(m.Unmount)
	return nil
}

func (d *Disk) mountFAT(ctx context.Context, path string, v disk.Volume, target string) error {
	f, err := disk.OpenFAT(ctx, d.device(v.Number), target)
	if err != nil {
		return fmt.Errorf("partition %d: %w", v.Number, err)
	}
	d.Mounts = append(d.Mounts, Mounted{Path: path, Volume: v, Staged: f.Staged})
	// Writing back must not be cut short by a cancelled run: the disk is thrown away then anyway.
	d.undo.Push(func() error { return f.Close(context.WithoutCancel(ctx)) })
	return nil
}

// Cover puts an empty, read-only filesystem at mount points of disks that the image gets where it runs, so
// that nothing is written into them by mistake.
func (d *Disk) Cover(targets []string) error {
	for _, t := range targets {
		if err := d.coverData(t); err != nil {
			return fmt.Errorf("cover %s: %w", t, err)
		}
	}
	return nil
}

func (d *Disk) coverData(path string) error {
	d.Covered = append(d.Covered, path)
	if !d.Root.IsDir(path) {
		return nil // who looks at an image does not make folders in it
	}
	target, err := d.mountTarget(path)
	if err != nil {
		return err
	}
	if err := unix.Mount("data", target, "tmpfs", unix.MS_RDONLY|unix.MS_NODEV, "size=4k"); err != nil {
		return err
	}
	d.undo.Push(func() error { return disk.Unmount(target) })
	return nil
}

// mountPoint finds a mount point of the image, making the folder where it is missing.
func (d *Disk) mountPoint(name string) (*rootfs.MountPoint, error) {
	if err := d.Root.MkdirAll(name, 0o755); err != nil {
		return nil, err
	}
	return d.Root.MountPoint(name)
}

// mountTarget is mountPoint for something that stays mounted until the tree is unmounted. It returns a path
// of this process.
func (d *Disk) mountTarget(name string) (string, error) {
	p, err := d.mountPoint(name)
	if err != nil {
		return "", err
	}
	d.undo.Push(p.Close)
	return p.Path(), nil
}

// atMount runs f with a path of this process to what is mounted at a path of the image.
func (d *Disk) atMount(name string, f func(dir string) error) error {
	p, err := d.mountPoint(name)
	if err != nil {
		return err
	}
	return errors.Join(f(p.Path()), p.Close())
}
