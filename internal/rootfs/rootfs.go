// Package rootfs accesses files inside an image. Every path is resolved as if the image's root were
// "/": an absolute or climbing symbolic link of the image never leads onto the host. The kernel
// does the resolving (openat2 with RESOLVE_IN_ROOT, Linux 5.6).
package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Root is the root folder of an image. Its methods take absolute paths inside the image; their
// errors name those and satisfy errors.Is with fs.ErrNotExist and its kin.
type Root struct {
	dir *os.File
}

// New opens the folder as a root. The caller closes it.
func New(dir string) (*Root, error) {
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &Root{dir: f}, nil
}

// With opens folders of the worker as roots while f runs.
func With(f func(roots ...*Root) error, dirs ...string) error {
	var roots []*Root
	for _, d := range dirs {
		r, err := New(d)
		if err != nil {
			return err
		}
		defer r.Close()
		roots = append(roots, r)
	}
	return f(roots...)
}

// Close releases the root folder. Files opened through it stay open.
func (r *Root) Close() error { return r.dir.Close() }

// Dir is the root folder's path on the host side.
func (r *Root) Dir() string { return r.dir.Name() }

// Open opens a file or folder with os.OpenFile's flags; a last component that is a link is followed
// inside the root. Whatever else a path leads to is refused: a pipe would be waited for, and a file of
// the kernel is not the image's. With O_PATH anything is opened. Files are made by Create and replaced by
// WriteFile, never emptied.
func (r *Root) Open(name string, flags int, _ fs.FileMode) (*os.File, error) {
	if flags&(unix.O_TRUNC|unix.O_CREAT) != 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("a file is made anew or replaced, never emptied")}
	}
	if flags&unix.O_PATH != 0 {
		return r.openat2(clean(name), flags)
	}
	f, err := r.openat2(clean(name), flags|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	if err := ownFile(f); err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return f, nil
}

// Reasons why something is not opened.
var (
	errSpecial = errors.New("it is neither a file nor a folder")
	errKernel  = errors.New("it leads to a file of the kernel, not of the image")
)

// ownFile tells whether a program may trust f to be a file or folder like any other.
func ownFile(f *os.File) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() && !fi.IsDir() {
		return errSpecial
	}
	return notKernel(f)
}

// notKernel refuses what lies on a filesystem of the kernel.
func notKernel(f *os.File) error {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return err
	}
	if s.Type == unix.PROC_SUPER_MAGIC || s.Type == unix.SYSFS_MAGIC {
		return errKernel
	}
	return nil
}

func clean(name string) string { return path.Clean("/" + name) }

// openat2 has the kernel resolve a path below the root, components such as .. included.
func (r *Root) openat2(name string, flags int) (*os.File, error) {
	how := &unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	rel := strings.TrimLeft(name, "/")
	if rel == "" {
		rel = "."
	}
	for {
		fd, err := unix.Openat2(int(r.dir.Fd()), rel, how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN): // EAGAIN: a rename raced with the walk
		default:
			return nil, &fs.PathError{Op: "open", Path: name, Err: r.explain(name, err)}
		}
	}
}

// OpenPath returns a descriptor that only names the file (O_PATH), for mounting on it through
// /proc/self/fd.
func (r *Root) OpenPath(name string) (*os.File, error) { return r.Open(name, unix.O_PATH, 0) }

// AppendLines adds the lines that the file does not hold yet, creating it with this mode.
func (r *Root) AppendLines(name string, mode fs.FileMode, lines ...string) error {
	old, err := r.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	have := strings.Split(string(old), "\n")
	text := string(old)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	for _, l := range lines {
		if !slices.Contains(have, l) {
			text += l + "\n"
			have = append(have, l)
		}
	}
	if text == string(old) {
		return nil
	}
	return r.WriteFile(name, []byte(text), mode)
}

// Stat describes a file, following links inside the root.
func (r *Root) Stat(name string) (fs.FileInfo, error) { return r.stat(name, unix.O_PATH) }

// Lstat describes a file; a last component that is a link is not followed.
func (r *Root) Lstat(name string) (fs.FileInfo, error) {
	return r.stat(name, unix.O_PATH|unix.O_NOFOLLOW)
}

func (r *Root) stat(name string, flags int) (fs.FileInfo, error) {
	f, err := r.Open(name, flags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// Exists tells whether the path leads to something.
func (r *Root) Exists(name string) bool {
	_, err := r.Stat(name)
	return err == nil
}

// IsDir tells whether the path leads to a folder.
func (r *Root) IsDir(name string) bool {
	fi, err := r.Stat(name)
	return err == nil && fi.IsDir()
}

// ReadDir lists a folder, sorted by name.
func (r *Root) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := r.Open(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := readNames(f, maxEntries)
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for i, e := range list {
		list[i] = entry{e, r, path.Join(name, e.Name())}
	}
	return list, err
}

// entry is an item of a folder whose Info looks inside the root; that of package os would look up the
// path on the host.
type entry struct {
	fs.DirEntry
	root *Root
	path string
}

// Info describes the item; a link is not followed.
func (e entry) Info() (fs.FileInfo, error) { return e.root.Lstat(e.path) }

// MkdirAll makes a folder and its missing parents with exactly this mode, owned by root.
func (r *Root) MkdirAll(name string, mode fs.FileMode) error {
	name = clean(name)
	if fi, err := r.Stat(name); err == nil {
		if !fi.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: name, Err: unix.ENOTDIR}
		}
		return nil
	}
	if err := r.MkdirAll(path.Dir(name), mode); err != nil {
		return err
	}
	return r.at(name, func(dir int, base string) error {
		err := unix.Mkdirat(dir, base, 0o700)
		if errors.Is(err, unix.EEXIST) {
			return errors.New("it is a symbolic link that leads to no folder of the image")
		}
		if err != nil {
			return err
		}
		fd, err := unix.Openat(dir, base, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return errors.Join(unix.Fchmod(fd, unixMode(mode)), unix.Close(fd))
	})
}

// at runs f with the folder that holds the path's last component, and that component. A link there is
// not followed.
func (r *Root) at(name string, f func(dir int, base string) error) error {
	parent, base := path.Split(clean(name))
	if base == "" {
		return &fs.PathError{Op: "access", Path: name, Err: errors.New("it is the root folder")}
	}
	dir, err := r.OpenPath(parent)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := f(int(dir.Fd()), base); err != nil {
		return &fs.PathError{Op: "access", Path: name, Err: r.explain(name, err)}
	}
	return nil
}

// Remove deletes a file, link or empty folder. Nothing there is no error.
func (r *Root) Remove(name string) error {
	err := r.at(name, func(dir int, base string) error {
		err := unix.Unlinkat(dir, base, 0)
		if errors.Is(err, unix.EISDIR) {
			err = unix.Unlinkat(dir, base, unix.AT_REMOVEDIR)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Rename moves a file, replacing the one at the new path.
func (r *Root) Rename(from, to string) error { return r.RenameFrom(r, from, to) }

// RenameFrom moves a file from another root on the same filesystem, replacing the one at the new path.
func (r *Root) RenameFrom(other *Root, from, to string) error {
	return other.at(from, func(a int, old string) error {
		return r.at(to, func(b int, base string) error { return unix.Renameat(a, old, b, base) })
	})
}

// Symlink makes a link; the target is text and not resolved.
func (r *Root) Symlink(target, name string) error {
	return r.at(name, func(dir int, base string) error { return unix.Symlinkat(target, dir, base) })
}

// Readlink returns a link's text.
func (r *Root) Readlink(name string) (target string, err error) {
	err = r.at(name, func(dir int, base string) error {
		target, err = readlink(dir, base)
		return err
	})
	return target, err
}

// Chmod sets the permission bits, setuid, setgid and sticky bits of a file.
func (r *Root) Chmod(name string, mode fs.FileMode) error {
	f, err := r.Open(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Chmod(mode)
}

// Chown sets the owner of a file; a last component that is a link is not followed.
func (r *Root) Chown(name string, uid, gid int) error {
	f, err := r.Open(name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Fchownat(int(f.Fd()), "", uid, gid, unix.AT_EMPTY_PATH)
}

// Chtimes sets when a file was last read and written.
func (r *Root) Chtimes(name string, t time.Time) error {
	f, err := r.OpenPath(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return os.Chtimes(Handle(f), t, t)
}

// SetLabel sets the SELinux label of a file; a last component that is a link is not followed.
func (r *Root) SetLabel(name, label string) error {
	f, err := r.Open(name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	set := func() error {
		return unix.Setxattr(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), "security.selinux", append([]byte(label), 0), 0)
	}
	if err = set(); errors.Is(err, unix.EPERM) { // the label of an immutable file too must be right
		flags, _ := r.Lift(name)
		err = errors.Join(set(), r.Fix(name, flags))
	}
	if err != nil {
		return &fs.PathError{Op: "label", Path: name, Err: err}
	}
	return nil
}

func unixMode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: unix.S_ISUID, fs.ModeSetgid: unix.S_ISGID, fs.ModeSticky: unix.S_ISVTX} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}
