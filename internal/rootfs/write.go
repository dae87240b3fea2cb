package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// WriteFile replaces a file's content, creating it with this mode, whatever the umask, and root as
// owner. The file is a new one that takes the name of the old: that keeps mode, owner and extended
// attributes, and other names of the old file keep the old content. Links are followed inside the root.
// Missing parent folders are an error.
func (r *Root) WriteFile(name string, data []byte, mode fs.FileMode) error {
	return r.CopyFrom(bytes.NewReader(data), name, mode)
}

// CopyFrom replaces a file's content by that of src, under WriteFile's rules.
func (r *Root) CopyFrom(src io.Reader, name string, mode fs.FileMode) error {
	return r.put(name, mode, func(f *os.File) error {
		if _, err := io.Copy(f, src); err != nil {
			return fmt.Errorf("copy to %s: %w", name, err)
		}
		return nil
	})
}

// Create makes a file of exactly this mode where there is nothing yet, not even a link, and opens it for
// reading and writing.
func (r *Root) Create(name string, mode fs.FileMode) (f *os.File, err error) {
	err = r.at(name, func(dir int, base string) error {
		f, err = makeFile(dir, base, mode)
		return err
	})
	return f, err
}

func makeFile(dir int, base string, mode fs.FileMode) (*os.File, error) {
	fd, err := unix.Openat(dir, base, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), base)
	if err := f.Chmod(mode); err != nil {
		return nil, errors.Join(err, f.Close(), unix.Unlinkat(dir, base, 0))
	}
	return f, nil
}

// maxLinks is how many links a path may lead over, as in the kernel.
const maxLinks = 40

// resolve opens the folder that holds, or will hold, what a path leads to over any links, and returns
// its name there. What has that name afterwards is used with O_NOFOLLOW alone.
func (r *Root) resolve(name string) (dir *os.File, base string, err error) {
	at := clean(name)
	for range maxLinks {
		parent, base := path.Split(at) // not cleaned: what comes before a .. may be a link
		if base == "" || base == "." || base == ".." {
			return nil, "", &fs.PathError{Op: "open", Path: name, Err: unix.EISDIR}
		}
		dir, err := r.openat2(parent, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return nil, "", err
		}
		target, err := readlink(int(dir.Fd()), base)
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT): // no link, or nothing
			return dir, base, nil
		case err != nil:
			return nil, "", errors.Join(&fs.PathError{Op: "open", Path: name, Err: err}, dir.Close())
		}
		if err := errors.Join(notKernel(dir), dir.Close()); err != nil {
			return nil, "", &fs.PathError{Op: "open", Path: name, Err: err}
		}
		if !path.IsAbs(target) {
			target = parent + target
		}
		at = strings.TrimRight(target, "/")
	}
	return nil, "", &fs.PathError{Op: "open", Path: name, Err: unix.ELOOP}
}

// put gives a path a new file with what fill writes.
func (r *Root) put(name string, mode fs.FileMode, fill func(*os.File) error) error {
	dir, base, err := r.resolve(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := notKernel(dir); err != nil {
		return &fs.PathError{Op: "write", Path: name, Err: err}
	}
	old, err := openOld(int(dir.Fd()), base)
	switch {
	case err == nil:
		defer old.Close()
		err = replace(int(dir.Fd()), base, old, fill)
	case errors.Is(err, fs.ErrNotExist):
		err = addFile(int(dir.Fd()), base, mode, fill)
	}
	if err != nil {
		return &fs.PathError{Op: "write", Path: name, Err: r.explain(name, err)}
	}
	return nil
}

// openOld opens a file that is to be replaced. Nothing but a file is.
func openOld(dir int, base string) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return nil, unix.EISDIR
	default:
		return nil, errSpecial
	}
	fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), base)
	if err := ownFile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func addFile(dir int, base string, mode fs.FileMode, fill func(*os.File) error) error {
	f, err := makeFile(dir, base, mode)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(f), f.Close()); err != nil {
		return errors.Join(err, unix.Unlinkat(dir, base, 0))
	}
	return nil
}

// replace puts a new file into the place of an old one.
func replace(dir int, base string, old *os.File, fill func(*os.File) error) error {
	f, temporary, err := makeTemporary(dir)
	if err != nil {
		return err
	}
	err = errors.Join(fill(f), inherit(f, old), f.Close())
	if err == nil {
		err = hint(unix.Renameat(dir, temporary, dir, base))
	}
	if err != nil {
		return errors.Join(err, unix.Unlinkat(dir, temporary, 0))
	}
	return nil
}

// makeTemporary makes a file for a moment. Its names do not depend on chance: a folder keeps traces of them.
func makeTemporary(dir int) (f *os.File, name string, err error) {
	const tries = 100 // others may have been left by a program of the image
	for i := range tries {
		name = fmt.Sprintf(".imagecustomizer-%d", i)
		if f, err = makeFile(dir, name, 0o600); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return f, name, err
}

// hint says what keeps a file from being replaced.
func hint(err error) error {
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w (another file is mounted over it)", err)
	}
	return err
}
