package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Fixed are the flags of a file by which nobody, root included, can change it (chattr +i), or only by
// appending (chattr +a).
const Fixed = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND

// Lift takes the flags of Fixed from a file, not following a link, and returns those that it had. That there
// is no such file, or none of them, is no error.
func (r *Root) Lift(name string) (flags int, err error) {
	err = r.withFlags(name, func(fd, has int) error {
		if flags = has & Fixed; flags == 0 {
			return nil
		}
		return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, has&^Fixed)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return flags, err
}

// Fix gives a file flags that Lift returned.
func (r *Root) Fix(name string, flags int) error {
	if flags == 0 {
		return nil
	}
	return r.withFlags(name, func(fd, has int) error { return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, has|flags) })
}

// withFlags calls f with a file or folder and its flags; for anything else, and where the filesystem has no
// flags, it does nothing.
func (r *Root) withFlags(name string, f func(fd, flags int) error) error {
	file, err := r.Open(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, errSpecial) || errors.Is(err, errKernel) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	flags, err := unix.IoctlGetInt(int(file.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return nil
	}
	if err := f(int(file.Fd()), flags); err != nil {
		return &fs.PathError{Op: "set the flags of", Path: name, Err: err}
	}
	return nil
}

// explain says why the kernel does not permit root to open or change a file of the image.
func (r *Root) explain(name string, err error) error {
	if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EACCES) { // what the kernel says of sockets, and of devices on nodev
		if fi, statErr := r.Stat(name); statErr == nil && !fi.Mode().IsRegular() && !fi.IsDir() {
			return errSpecial
		}
	}
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	if at := r.FixedAt(name); at != "" {
		return fmt.Errorf("%w: %s is immutable or append-only in the image (\"chattr -i -a %s\" in a script of an earlier run makes it writable)", err, at, at)
	}
	return err
}

// FixedAt is what keeps a file from being replaced or made by the flags of Fixed: the file, where the path leads over
// links, or the folder that holds it or the first of the folders to make; "" where nothing does.
func (r *Root) FixedAt(name string) string {
	at, first := path.Clean("/"+name), true
	for {
		real, err := r.Real(at)
		switch {
		case err == nil && r.fixed(real):
			return real
		case err == nil && first && real != "/":
			if dir := path.Dir(real); r.fixed(dir) {
				return dir
			}
			return ""
		case err == nil:
			return ""
		case at == "/":
			return ""
		}
		at, first = path.Dir(at), false
	}
}

func (r *Root) fixed(name string) (is bool) {
	_ = r.withFlags(name, func(_, flags int) error {
		is = flags&Fixed != 0
		return nil
	})
	return is
}
