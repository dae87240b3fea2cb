package app

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
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr/probe"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/step"
)

// open attaches the working disk, mounts its tree and finds out about the system on it.
func (w *worker) open(ctx context.Context, file *os.File, open opener) (*machine.Machine, error) {
	root := sandbox.Work + "/root"
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	d, err := open(ctx, file, root, w.Image.Root)
	if err != nil {
		return nil, err
	}
	w.undo.Push(d.Close)
	m := &machine.Machine{
		Cache: sandbox.Writable("cache"), Log: slog.Default(),
		Scratch: sync.OnceValues(func() (string, error) { return w.openScratch(ctx) }),
	}
	m.Grow = func(ctx context.Context, partition int, by int64) error { return w.grow(ctx, m, partition, by) }
	m.SetIdentifiers = func(ctx context.Context, ids disk.Identifiers) error {
		return w.reopen(ctx, m, func(ctx context.Context) error { return image.SetIdentifiers(ctx, w.file, ids) })
	}
	m.NewDisk = func(ctx context.Context, l *disk.Layout) error {
		if l.Kept > 0 {
			return w.extendDisk(ctx, m, l)
		}
		return w.newDisk(ctx, m, l)
	}
	m.Reopen = func(ctx context.Context) error {
		return w.reopen(ctx, m, func(context.Context) error { return nil })
	}
	if err := w.enter(m, d, file); err != nil {
		return nil, err
	}
	w.before, err = w.findings(ctx)
	return m, err
}

// opener is a way to open a disk.
type opener func(context.Context, *os.File, string, ...image.Choice) (*image.Disk, error)

// opener is how the disk that the result lies on is opened.
func (w *worker) opener() opener {
	if w.Config != nil && w.Config.Storage.ReinitializeVerity == step.ReinitializeAll {
		return image.OpenToReseal
	}
	return image.Open
}

// enter makes the opened disk the one that the machine works on.
func (w *worker) enter(m *machine.Machine, d *image.Disk, file *os.File) error {
	i, err := sandbox.EnterImage(d.Root, d.Nodes, d.Links)
	if err != nil {
		return err
	}
	w.undo.Push(i.Leave)
	facts, err := machine.Probe(d.Root, filesystems(d), probe.Manager(d.Root))
	if err != nil {
		return err
	}
	facts.HostKernel = kernelRelease()
	facts.SectorSize, facts.Volumes, facts.Sealed, facts.Covered = d.Table.SectorSize, d.Volumes, d.Sealed, d.Covered
	if facts.DiskSize, err = file.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	logFacts(facts)
	w.arch = facts.Arch
	w.disk, w.file = d, file
	m.Root, m.Facts, m.Image, m.Disk = d.Root, facts, i, file
	return nil
}

func filesystems(d *image.Disk) (list []machine.Filesystem) {
	m := machine.Machine{Root: d.Root}
	for _, mounted := range d.Mounts {
		size, free, _ := m.Space(mounted.Path) // unknown space is no reason to fail
		v := mounted.Volume
		list = append(list, machine.Filesystem{
			MountPoint: mounted.Path, Type: v.Content.Type, Size: size, Free: free,
			UUID: v.Content.UUID, Partition: v.Number, Subvolume: mounted.Subvolume, Kept: mounted.Kept,
		})
	}
	return list
}

func logFacts(f *machine.Facts) {
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
func lacks(f *machine.Facts) string {
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
func (w *worker) openScratch(ctx context.Context) (string, error) {
	file := w.Of(job.Scratch)
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
	w.undo.Push(loop.Detach)
	dir := sandbox.Work + "/scratch"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	// What is removed there is given back to the host at once.
	if err := disk.MountVolume(loop.Node(), dir, "ext4", "discard", false); err != nil {
		return "", err
	}
	m, err := disk.Watch(dir)
	if err != nil {
		return "", errors.Join(err, disk.Unmount(dir))
	}
	w.undo.Push(m.Unmount)
	return dir, nil
}
