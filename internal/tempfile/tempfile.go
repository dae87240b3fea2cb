// Package tempfile makes files that cannot be left behind: they have no name, or, where a filesystem
// has no such files, one by which the next run knows and removes them.
package tempfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Mode is that of the files; the umask takes from it.
const Mode = 0o644

// File is a file that waits for its name.
type File struct {
	*os.File
	dir  *os.File
	temp string // name for the time being; empty where the file has none
}

// Create makes a file in an open folder, and removes what ended runs have left there. The folder must
// stay open until the file is published or discarded.
func Create(dir *os.File) (*File, error) {
	RemoveStale(dir)
	f, err := unnamed(dir)
	if !unsupported(err) {
		return &File{File: f, dir: dir}, err
	}
	return named(dir)
}

// Scratch makes a file in a folder that no folder lists, for as long as it is open.
func Scratch(dir string) (*os.File, error) {
	d, err := os.OpenFile(dir, unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	f, err := Create(d)
	if err == nil && f.temp != "" {
		err = unix.Unlinkat(int(d.Fd()), f.temp, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a temporary file in %s: %w", dir, err)
	}
	return f.File, nil
}

// Publish gives the file its name in its folder. Where the name is taken the file is linked beside it
// and renamed over it, since no call replaces a name by an unnamed file. It stays open.
func (f *File) Publish(name string) error {
	if f.temp == "" {
		err := f.link(name)
		if errors.Is(err, fs.ErrExist) {
			f.temp = newName()
			err = f.link(f.temp)
		}
		if err != nil {
			return err
		}
	}
	if f.temp != "" {
		if err := unix.Renameat(f.dirFd(), f.temp, f.dirFd(), name); err != nil {
			return err
		}
		f.temp = ""
	}
	return nil
}

// PublishNew is Publish, but fails with fs.ErrExist where the name is taken.
func (f *File) PublishNew(name string) error {
	if f.temp == "" {
		return f.link(name)
	}
	if err := unix.Renameat2(f.dirFd(), f.temp, f.dirFd(), name, unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	f.temp = ""
	return nil
}

func (f *File) link(name string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), f.dirFd(), name, unix.AT_SYMLINK_FOLLOW)
}

func (f *File) dirFd() int { return int(f.dir.Fd()) }

// Alias gives a file in an open directory a second name, which the next run there removes if remove is not called.
func Alias(dir *os.File, name string) (remove func() error, err error) {
	alias, fd := newName(), int(dir.Fd())
	if err := unix.Linkat(fd, name, fd, alias, 0); err != nil {
		return nil, err
	}
	return func() error { return unix.Unlinkat(fd, alias, 0) }, nil
}

// Discard closes the file. One that was not published is gone then.
func (f *File) Discard() {
	if f.temp != "" {
		_ = unix.Unlinkat(f.dirFd(), f.temp, 0)
		f.temp = ""
	}
	_ = f.Close()
}

// unnamed opens a file without a name, which the kernel frees by itself.
func unnamed(dir *os.File) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, Mode)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), dir.Name()+"/(unnamed)"), nil
}

// unsupported tells whether the error says that the filesystem has no unnamed files: not supported, or
// by a filesystem that took the flags for another request.
func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOENT)
}

// pattern is the names of our files that wait for their final name; the number is the process.
var pattern = regexp.MustCompile(`^\.imagecustomizer-([1-9][0-9]{0,9})-[A-Z2-7]+\.tmp$`)

func newName() string {
	return fmt.Sprintf(".imagecustomizer-%d-%s.tmp", os.Getpid(), rand.Text())
}

// named opens a file with a temporary name, for filesystems without unnamed ones. A lock marks it as
// being in use, for as long as any process has it open.
func named(dir *os.File) (*File, error) {
	name := newName()
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, Mode)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), dir.Name()+"/"+name)
	_ = lock(f) // where locks do not work, RemoveStale cannot take one either
	return &File{File: f, dir: dir, temp: name}, nil
}

// lock takes the first byte: QEMU locks bytes 100 and later of the same file.
func lock(f *os.File) error {
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: 0, Len: 1}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l)
}

// RemoveStale removes temporary files of ended runs: those that nobody holds a lock on. The lock is
// taken a moment after a file is made, so the process in its name must be gone too, or the file be
// old: process numbers say nothing across containers.
func RemoveStale(dir *os.File) {
	list, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", dir.Fd())) // a second descriptor, with a read position of its own
	if err != nil {
		return
	}
	defer list.Close()
	names, _ := list.Readdirnames(-1)
	for _, name := range names {
		m := pattern.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		removeStaleFolder(dir, name, ended(m[1]))
		if unused(dir, name, ended(m[1])) {
			_ = unix.Unlinkat(int(dir.Fd()), name, 0)
		}
	}
}

func ended(pid string) bool {
	n, err := strconv.Atoi(pid)
	return err == nil && errors.Is(unix.Kill(n, 0), unix.ESRCH)
}

// old is an age at which a file that is in use has its lock, however slow the machine.
const old = time.Minute

func unused(dir *os.File, name string, ended bool) bool {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	fi, err := f.Stat()
	return err == nil && (ended || time.Since(fi.ModTime()) > old) && lock(f) == nil
}
