package machine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/sandbox"
)

// Options are what a session is opened with besides its disk.
type Options struct {
	Root     image.Choice
	Again    Opener                    // how a disk is opened that was changed
	Manager  func(*rootfs.Root) string // finds out the name of an image's package manager, which the layer above knows
	Cache    string                    // see Machine
	Scratch  *os.File                  // gets a filesystem for large temporary files when it is needed
	Spare    *os.File                  // becomes the disk that replaces the one opened first
	Progress func(done, total int64)   // of what is copied to that; may be nil
}

// Opener is a way to open a disk, such as image.Open.
type Opener func(context.Context, *os.File, string, ...image.Choice) (*image.Disk, error)

// owned is what a session has to undo. Closing it closes all of these, in this order.
type owned struct {
	scratch disk.Stack     // the scratch filesystem and its loop device
	inside  *sandbox.Image // what is mounted in the image for its programs
	fresh   *image.Disk    // the disk that is to replace the other, while it is filled
	disk    *image.Disk    // the disk that the session works on
}

// host is what a session does to the host. That of a test does nothing.
type host struct {
	open   Opener
	close  func(*image.Disk) error
	create func(context.Context, *os.File, *disk.Layout) (*image.Disk, error)
	copy   func(m *Machine, ctx context.Context, from, to *image.Disk) error
	enter  func(*Machine, *image.Disk) error
	leave  func(*sandbox.Image) error
}

func realHost(open Opener) host {
	return host{open, (*image.Disk).Close, createDisk, (*Machine).copyTree, (*Machine).inside, leave}
}

func createDisk(ctx context.Context, file *os.File, l *disk.Layout) (*image.Disk, error) {
	dir := sandbox.Work + "/new"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	return image.Create(ctx, file, l, dir)
}

func leave(i *sandbox.Image) error {
	if i == nil {
		return nil
	}
	return i.Leave()
}

// Open opens the disk in a file, mounts its tree and finds out about the system on it.
func Open(ctx context.Context, file *os.File, open Opener, o Options) (*Machine, error) {
	root := sandbox.Work + "/root"
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	m := &Machine{Log: slog.Default(), Cache: o.Cache, Disk: file, options: o, host: realHost(open)}
	m.Scratch = sync.OnceValues(func() (string, error) { return m.openScratch(ctx) })
	if err := m.open(ctx, root, o.Root); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	m.host.open = o.Again
	return m, nil
}

// open opens what lies in the session's file.
func (m *Machine) open(ctx context.Context, dir string, root image.Choice) (err error) {
	if m.own.disk, err = m.host.open(ctx, m.Disk, dir, root); err != nil {
		return err
	}
	return m.host.enter(m, m.own.disk)
}

// Opened is the disk that the session works on, for who looks at it from outside the system or finishes it.
func (m *Machine) Opened() *image.Disk { return m.own.disk }

// Change closes the image, has its disk changed, and opens it again, as its /etc/fstab says then: Root, Facts and
// Image are others afterwards.
func (m *Machine) Change(ctx context.Context, change func(raw *os.File) error) error {
	if err := m.host.leave(m.own.inside); err != nil {
		return err
	}
	dir, root := m.Root.Dir(), m.own.disk.Chosen() // what it was found by may change
	if err := m.closeDisk(&m.own.disk); err != nil {
		return err
	}
	if err := change(m.Disk); err != nil {
		return err
	}
	return m.open(ctx, dir, root)
}

// Reopen closes the image and opens it again, as its /etc/fstab says then.
func (m *Machine) Reopen(ctx context.Context) error {
	return m.Change(ctx, func(*os.File) error { return nil })
}

// Grow makes a partition and the filesystem mounted from it larger by some bytes, a multiple of 1 MiB, and
// the disk by as much of that as does not lie idle at its end.
func (m *Machine) Grow(ctx context.Context, partition int, by int64) error {
	err := m.Change(ctx, func(raw *os.File) error { return image.Grow(ctx, raw, partition, by) })
	if err != nil {
		return err
	}
	return m.own.disk.GrowFilesystem(ctx, partition)
}

// SetIdentifiers gives the disk and all that lies on it other identifiers, which /etc/fstab must name already.
func (m *Machine) SetIdentifiers(ctx context.Context, ids disk.Identifiers) error {
	return m.Change(ctx, func(raw *os.File) error { return image.SetIdentifiers(ctx, raw, ids) })
}

// Unmount leaves the image and unmounts its tree. The disk stays attached.
func (m *Machine) Unmount() error {
	if err := errors.Join(m.own.scratch.Undo(), m.host.leave(m.own.inside)); err != nil {
		return err
	}
	return m.own.disk.Unmount()
}

// Close undoes everything that is left to undo, however far the session has come.
func (m *Machine) Close() error {
	return errors.Join(m.own.scratch.Undo(), m.host.leave(m.own.inside), m.closeDisk(&m.own.fresh), m.closeDisk(&m.own.disk))
}

// closeDisk closes a disk, if there is one. What could not be closed is tried again at the end.
func (m *Machine) closeDisk(d **image.Disk) error {
	if *d == nil {
		return nil
	}
	return m.host.close(*d)
}

// inside enters the tree of a disk and finds out about the system in it.
func (m *Machine) inside(d *image.Disk) (err error) {
	if m.own.inside, err = sandbox.EnterImage(d.Root, d.Nodes, d.Links); err != nil {
		return err
	}
	facts, err := Probe(d.Root, filesystems(d), m.options.Manager(d.Root))
	if err != nil {
		return err
	}
	facts.HostKernel = KernelRelease()
	facts.SectorSize, facts.Volumes, facts.Sealed, facts.Covered = d.Table.SectorSize, d.Volumes, d.Sealed, d.Covered
	if facts.DiskSize, err = m.Disk.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	logFacts(facts)
	m.Root, m.Facts, m.Image = d.Root, facts, m.own.inside
	return nil
}

func filesystems(d *image.Disk) (list []Filesystem) {
	m := Machine{Root: d.Root}
	for _, mounted := range d.Mounts {
		size, free, _ := m.Space(mounted.Path) // unknown space is no reason to fail
		v := mounted.Volume
		list = append(list, Filesystem{
			MountPoint: mounted.Path, Type: v.Content.Type, Size: size, Free: free,
			UUID: v.Content.UUID, Partition: v.Number, Subvolume: mounted.Subvolume, Kept: mounted.Kept,
		})
	}
	return list
}

func logFacts(f *Facts) {
	slog.Debug("facts", "distribution", f.Distro.Name, "known", !f.Distro.Unknown, "arch", f.Arch, "packageManager", f.PackageManager,
		"boot", f.Boot.String(), "bootTrail", strings.Join(f.Boot.Trail, "; "), "initramfs", f.Initramfs, "selinux", f.SELinux)
	for _, k := range f.Kernels {
		slog.Debug("kernel", "version", k.Version, "initramfs", k.Initramfs)
	}
	for _, fs := range f.Filesystems {
		slog.Debug("filesystem", "mount", fs.MountPoint, "type", fs.Type, "sizeMiB", fs.Size>>20, "freeMiB", fs.Free>>20)
	}
	if f.Distro.Unknown {
		slog.Warn("this distribution is not one that is tested; "+lacks(f), "distribution", f.Distro.Name)
	}
}

// lacks says what of an image's mechanisms is known, in the words in which what needs them is refused.
func lacks(f *Facts) string {
	switch {
	case f.Distro.GRUB == nil && f.PackageManager == "":
		return "neither its package manager nor how its boot loader is set up is known: what needs them is refused"
	case f.Distro.GRUB == nil:
		return "how its boot loader is set up is not known: what needs that is refused"
	case f.PackageManager == "":
		return "its package manager is not known: what needs that is refused"
	}
	return "its package manager and boot loader are known, so it is customized all the same"
}

// scratchSize is the size of the scratch filesystem; its file takes only what is written.
const scratchSize = 64 << 30

// openScratch makes a filesystem for large temporary files in the unnamed file that the supervisor
// opened in the build folder, so that they go with the worker.
func (m *Machine) openScratch(ctx context.Context) (string, error) {
	file := m.options.Scratch
	if err := file.Truncate(scratchSize); err != nil {
		return "", err
	}
	mkfs := hostcmd.New("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-N", "262144",
		"-E", "lazy_itable_init=1,nodiscard,root_owner=0:0", sandbox.Path(file))
	if err := mkfs.Run(ctx); err != nil {
		return "", err
	}
	loop, err := disk.AttachLoop(file, "/dev", 512)
	if err != nil {
		return "", err
	}
	m.own.scratch.Push(loop.Detach)
	dir := sandbox.Work + "/scratch"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	// What is removed there is given back to the host at once.
	if err := disk.MountVolume(loop.Node(), dir, "ext4", "discard", false); err != nil {
		return "", err
	}
	mounted, err := disk.Watch(dir)
	if err != nil {
		return "", errors.Join(err, disk.Unmount(dir))
	}
	m.own.scratch.Push(mounted.Unmount)
	return dir, nil
}
