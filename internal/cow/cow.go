// Package cow shows a file as it is, but writable: what is written goes to another file. So an image can be
// worked on that nothing may change, without a copy of it.
//
// The file that is shown is the only one of a FUSE filesystem. It is served by a process of its own: a
// process that starts programs can wait for its own file while it starts one, and then for ever.
package cow

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// serveArg is the first argument of the process that serves a file.
const serveArg = "__cow"

// Descriptors of the process that serves.
const (
	fdFuse = 3 + iota
	fdBase
	fdDelta
	fdMemory
)

// Main serves a file, if this process was started to; ok tells. It must be called before anything else in
// main.
func Main() (status int, ok bool) {
	if len(os.Args) != 3 || os.Args[1] != serveArg {
		return 0, false
	}
	if err := serve(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "cow:", err)
		return 1, true
	}
	return 0, true
}

func serve(dir string) error {
	if err := leaveMounts(dir); err != nil {
		return err
	}
	// Memory that the thread asks for must not be freed by writing to what it serves (prctl(2)); that takes
	// CAP_SYS_RESOURCE, which containers may lack. See memoryLimited for what happens otherwise.
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_IO_FLUSHER, 1, 0, 0, 0)
	b, err := newBlocks(os.NewFile(fdBase, "base"), os.NewFile(fdDelta, "delta"), os.NewFile(fdMemory, "memory"))
	if err != nil {
		return err
	}
	mapped, err := unix.Mmap(fdBase, 0, int(b.beyond), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return (&server{fuse: os.NewFile(fdFuse, "fuse"), size: b.beyond, blocks: b, mapped: mapped}).serve()
}

// leaveMounts leaves this process an empty folder instead of its copy of all mounts. A process that is
// killed gives up its mounts before its descriptors: one that had filesystems mounted of the disk it serves
// would wait, in the kernel, for itself to write what they still hold.
func leaveMounts(dir string) error {
	err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("empty", dir, "tmpfs", unix.MS_RDONLY, ""), unix.Chdir(dir))
	if err == nil {
		err = errors.Join(unix.PivotRoot(".", "."), unix.Unmount(".", unix.MNT_DETACH))
	}
	if err != nil {
		return fmt.Errorf("leave the mounts: %w", err)
	}
	return nil
}

// Disk is a file that is shown.
type Disk struct {
	*os.File
	blocks *blocks
}

// Open shows base as a writable file. What is written to it goes to delta, an empty file. dir is a folder of
// the caller's, where a name is taken for a moment. Both files stay open as long as the caller uses Where. The
// process that serves the file ends with the file's last user, or with the caller. Where memory is limited there
// is no safe way to serve it, and an error.
func Open(base, delta *os.File, dir string) (*Disk, error) {
	if memoryLimited() {
		return nil, errors.New("a control group limits the memory")
	}
	memory, err := newMemory()
	if err != nil {
		return nil, err
	}
	b, err := newBlocks(base, delta, memory)
	if err != nil {
		return nil, err
	}
	f, err := mount(dir, b)
	return &Disk{f, b}, err
}

// Where is the file that has the bytes from an offset on, at the same offset, up to stop, which is at most
// end; nil where they are zeros. It knows of what has been written to the disk, not of what the kernel keeps
// to write later.
func (d *Disk) Where(at, end int64) (f *os.File, stop int64) {
	from, stop := d.blocks.extent(at, end)
	return d.blocks.file(from), stop
}

// mount mounts the filesystem, opens its file and takes its name away again.
func mount(dir string, b *blocks) (f *os.File, err error) {
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	place := filepath.Join(dir, "disk")
	if err := os.WriteFile(place, nil, 0o600); err != nil {
		return nil, errors.Join(err, fuse.Close())
	}
	defer os.Remove(place)
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0", fuse.Fd(), unix.S_IFREG|0o600)
	if err := unix.Mount("cow", place, "fuse", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
		return nil, errors.Join(fmt.Errorf("mount a FUSE filesystem: %w", err), fuse.Close())
	}
	defer func() { err = errors.Join(err, unix.Unmount(place, unix.MNT_DETACH)) }()
	err = start(dir, fuse, b.base, b.delta, b.memory)
	if err := errors.Join(err, fuse.Close()); err != nil { // while it is open here, nobody notices that the process has ended
		return nil, err
	}
	return os.OpenFile(place, os.O_RDWR, 0)
}

// start starts the process that serves, in a mount namespace of its own.
func start(dir string, files ...*os.File) error {
	c := exec.Command("/proc/self/exe", serveArg, dir)
	c.ExtraFiles, c.Stderr = files, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: unix.CLONE_NEWNS}
	if err := c.Start(); err != nil {
		return err
	}
	go func() { _ = c.Wait() }() // its users notice
	return nil
}
