package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sub opens a folder as a root of its own. The caller closes it.
func (r *Root) Sub(name string) (*Root, error) {
	f, err := r.Open(name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &Root{dir: os.NewFile(uintptr(fd), filepath.Join(r.Dir(), clean(name)))}, nil // the name is what Dir says
}

// WithSub is Sub for the time of f.
func (r *Root) WithSub(name string, f func(sub *Root) error) error {
	sub, err := r.Sub(name)
	if err != nil {
		return err
	}
	return errors.Join(f(sub), sub.Close())
}

// Walk visits what is below a folder, parents first. Links are visited, not followed.
func (r *Root) Walk(dir string, visit func(name string, e fs.DirEntry) error) error {
	entries, err := r.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		err := visit(name, e)
		if e.IsDir() {
			if err == nil {
				err = r.Walk(name, visit)
			} else if errors.Is(err, fs.SkipDir) {
				continue
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// RemoveAll deletes whatever is at a path, with everything in it. Links are deleted, not followed.
// Nothing there is no error.
func (r *Root) RemoveAll(name string) error {
	fi, err := r.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if fi.IsDir() {
		entries, err := r.ReadDir(name)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := r.RemoveAll(path.Join(name, e.Name())); err != nil {
				return err
			}
		}
	}
	return r.Remove(name)
}

// LinkFrom gives a file of another root, on the same filesystem, one more name in this one.
func (r *Root) LinkFrom(other *Root, from, name string) error {
	return other.at(from, func(a int, old string) error {
		return r.at(name, func(b int, base string) error { return unix.Linkat(a, old, b, base, 0) })
	})
}

// readlink returns the text of a link in an open folder.
func readlink(dir int, base string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, base, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// WithFile opens a file of the root for reading while f runs.
func (r *Root) WithFile(name string, f func(file *os.File) error) error {
	file, err := r.Open(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return f(file)
}

// WithoutLinks has the kernel follow no symbolic link on any filesystem of the tree while f runs: for a
// program that fills the tree and could be led astray by links that it makes itself. The root is where a
// filesystem is mounted.
func (r *Root) WithoutLinks(f func() error) (err error) {
	const flags = unix.AT_EMPTY_PATH | unix.AT_RECURSIVE
	fd := int(r.dir.Fd())
	if err := unix.MountSetattr(fd, "", flags, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSYMFOLLOW}); err != nil {
		return fmt.Errorf("have no link followed: %w", err)
	}
	defer func() {
		err = errors.Join(err, unix.MountSetattr(fd, "", flags, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_NOSYMFOLLOW}))
	}()
	return f()
}

// MakePipe makes a pipe with a name and opens both its ends.
func (r *Root) MakePipe(name string) (reader, writer *os.File, err error) {
	err = r.at(name, func(dir int, base string) error {
		if err := unix.Mkfifoat(dir, base, 0o600); err != nil {
			return err
		}
		if reader, err = openPipe(dir, base, unix.O_RDONLY); err != nil {
			return err
		}
		if writer, err = openPipe(dir, base, unix.O_WRONLY); err != nil {
			return errors.Join(err, reader.Close())
		}
		return nil
	})
	return reader, writer, err
}

func openPipe(dir int, base string, flags int) (*os.File, error) {
	fd, err := unix.Openat(dir, base, flags|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), base) // which polls it, for a deadline to be set
	if fi, err := f.Stat(); err != nil || fi.Mode()&fs.ModeNamedPipe == 0 {
		return nil, errors.Join(errSpecial, err, f.Close())
	}
	return f, nil
}

// Changed is when anything about a file was last changed, which no program can set.
func Changed(fi fs.FileInfo) time.Time {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}
	}
	return time.Unix(st.Ctim.Unix())
}

// OpenExact opens what is at a path below the root, and follows no link on the way or at the end. The caller
// closes the descriptor.
func (r *Root) OpenExact(name string, flags int, mode uint32) (fd int, err error) {
	how := &unix.OpenHow{
		Flags: uint64(flags) | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK, Mode: uint64(mode),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	rel := strings.TrimLeft(clean(name), "/")
	if rel == "" {
		rel = "."
	}
	for {
		fd, err = unix.Openat2(int(r.dir.Fd()), rel, how)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}

// Fold is the name that the tree has of a file for which FAT, and firmware, would take this one: in every part of it
// case may differ. It is the name itself where there is no such file.
func (r *Root) Fold(name string) string {
	dir, base := path.Split(name)
	if name == "/" || name == "" || r.Exists(name) {
		return name
	}
	dir = r.Fold(path.Clean(dir))
	entries, _ := r.ReadDir(dir)
	for _, e := range entries {
		if strings.EqualFold(e.Name(), base) {
			return path.Join(dir, e.Name())
		}
	}
	return name
}
