package rootfs

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// MountPoint is a folder or file of a tree that something is, or is to be, mounted at. It stays the same
// whatever becomes of the folders on the way to it: the one that holds it is kept open, and its name there
// is no link.
type MountPoint struct {
	dir  *os.File
	base string
}

// MountPoint finds a mount point, over links inside the root. The caller closes it, but not before what is
// mounted there is unmounted.
func (r *Root) MountPoint(name string) (*MountPoint, error) {
	if clean(name) == "/" {
		dir, err := r.OpenPath("/")
		return &MountPoint{dir, "."}, err
	}
	dir, base, err := r.resolve(name)
	if err != nil {
		return nil, err
	}
	p := &MountPoint{dir, base}
	f, err := p.open()
	if err != nil {
		dir.Close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return p, f.Close()
}

// open opens what is at the mount point now, as a name only.
func (p *MountPoint) open() (*os.File, error) {
	fd, err := unix.Openat(int(p.dir.Fd()), p.base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), p.base)
	if fi, err := f.Stat(); err != nil || fi.Mode()&fs.ModeSymlink != 0 {
		f.Close()
		return nil, unix.ELOOP
	}
	return f, nil
}

// On runs f with a path of this process to what is at the mount point, for something to be mounted on it.
func (p *MountPoint) On(f func(target string) error) error {
	at, err := p.open()
	if err != nil {
		return err
	}
	defer at.Close()
	return f(Handle(at))
}

// Path is a path of this process to what is mounted there, as long as something is, or nothing of the image
// runs. A program that is to see it has it as its working folder.
func (p *MountPoint) Path() string { return Handle(p.dir) + "/" + p.base }

// Close releases the mount point.
func (p *MountPoint) Close() error { return p.dir.Close() }

// Handle is a path of this process to an open file, however its folders are called.
func Handle(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// Handle is a path of this process to the root folder.
func (r *Root) Handle() string { return Handle(r.dir) }

// Shown is what a path of this process to an open file is called, for messages and to be compared with what
// the kernel lists.
func Shown(name string) string {
	number, rest, _ := strings.Cut(strings.TrimPrefix(name, "/proc/self/fd/"), "/")
	if !strings.HasPrefix(name, "/proc/self/fd/") {
		return name
	}
	dir, err := os.Readlink("/proc/self/fd/" + number)
	if err != nil {
		return name
	}
	return filepath.Clean(path.Join(dir, rest))
}
