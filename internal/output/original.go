package output

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/tempfile"
)

// Original is an image file that an output is to replace, under its own name. It stays as it is until then, and nobody
// else may have it open: who has would go on with a file that has no name any more.
type Original struct {
	path   string   // absolute, without symbolic links
	dir    *os.File // its directory
	name   string   // in there
	backup string   // name that it keeps in there; empty for none
	file   *os.File // open, and locked against others that would write to it
	st     unix.Stat_t
}

// Misuse is an image that cannot be replaced, whatever becomes of it.
type Misuse struct{ text string }

func (m *Misuse) Error() string { return m.text }

func misuse(format string, args ...any) error { return &Misuse{fmt.Sprintf(format, args...)} }

// OpenOriginal opens an image to be replaced. Symbolic links are followed now, and no more later. Where suffix is not
// empty, the image keeps a name with that suffix. What speaks against it is a Misuse, or that somebody has it open.
func OpenOriginal(path, suffix string) (*Original, error) {
	o := &Original{}
	if err := o.open(path, suffix); err != nil {
		o.Close()
		return nil, err
	}
	return o, nil
}

func (o *Original) open(path, suffix string) (err error) {
	if strings.ContainsAny(suffix, "/\x00") {
		return misuse("the suffix %q is no part of a file's name", suffix)
	}
	target, err := followLinks(path)
	if err == nil {
		o.path, err = filepath.EvalSymlinks(target)
	}
	if err == nil {
		o.path, err = filepath.Abs(o.path)
	}
	if err != nil {
		return err
	}
	o.name = filepath.Base(o.path)
	if suffix != "" {
		o.backup = o.name + suffix
	}
	if o.dir, err = os.OpenFile(filepath.Dir(o.path), unix.O_DIRECTORY, 0); err != nil {
		return err
	}
	tempfile.RemoveStale(o.dir)
	if err := o.openFile(); err != nil {
		return err
	}
	if err := errors.Join(o.replaceable(), o.changeable()); err != nil {
		return err
	}
	if err := o.lock(); err != nil {
		return err
	}
	return o.unused()
}

// openFile opens the file itself, and nothing that has taken its name.
func (o *Original) openFile() error {
	fi, err := os.Lstat(o.path)
	switch {
	case err != nil:
		return err
	case fi.Mode()&os.ModeDevice != 0:
		return misuse("%s is a device: --in-place replaces files; write a new image with --output, then copy it there", o.path)
	case !fi.Mode().IsRegular():
		return misuse("%s is not a regular file, and --in-place replaces files", o.path)
	}
	fd, err := unix.Openat(int(o.dir.Fd()), o.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: o.path, Err: err}
	}
	o.file = os.NewFile(uintptr(fd), o.path)
	return unix.Fstat(fd, &o.st)
}

// replaceable says why the name cannot be given to another file without harm.
func (o *Original) replaceable() error {
	var sx unix.Statx_t
	err := unix.Statx(int(o.file.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &sx)
	if err == nil && sx.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return misuse("%s is mounted by itself, as containers mount single files, and cannot be replaced there: mount its directory", o.path)
	}
	names := o.st.Nlink
	if o.backup != "" {
		switch st, err := o.stat(o.backup); {
		case err == nil && st.Ino == o.st.Ino && st.Dev == o.st.Dev: // a run that was cut off got as far as that
			names--
		case err == nil:
			return misuse("%s%s exists: a backup is never overwritten; remove it, or choose another suffix", o.path, strings.TrimPrefix(o.backup, o.name))
		}
	}
	if names > 1 {
		return misuse("%s has %d names (hard links), of which --in-place would replace one, and the others would stay with the old image: "+
			"write a new image with --output", o.path, o.st.Nlink)
	}
	return o.linkable()
}

// linkable finds out whether the filesystem lets the image have a second name, where it is to keep one.
func (o *Original) linkable() error {
	if o.backup == "" {
		return nil
	}
	remove, err := tempfile.Alias(o.dir, o.name)
	if err != nil {
		return misuse("the filesystem of %s has no hard links, which --backup takes (%v): copy the image first", o.path, err)
	}
	return remove()
}

// changeable says why the file should stay as it is.
func (o *Original) changeable() error {
	flags, _ := unix.IoctlGetInt(int(o.file.Fd()), unix.FS_IOC_GETFLAGS) // filesystems without them have none
	switch {
	case flags&(fsImmutable|fsAppend) != 0:
		return misuse("%s is immutable or append-only: take that away with chattr -i -a first", o.path)
	case o.st.Mode&0o222 == 0:
		return misuse("%s may be written to by nobody: if it is to be changed all the same, chmod u+w it first", o.path)
	}
	return nil
}

// stat is what is known of a name in the directory.
func (o *Original) stat(name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(int(o.dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

// Path is where the image lies, without symbolic links.
func (o *Original) Path() string { return o.path }

// File is the image, to be read.
func (o *Original) File() *os.File { return o.file }

// Close lets others have the image.
func (o *Original) Close() {
	for _, f := range []*os.File{o.file, o.dir} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// ready looks a last time whether the image is still the same, and nobody's. Then it gets its second name, if it is to
// have one.
func (o *Original) ready() error {
	st, err := o.stat(o.name)
	switch {
	case err == nil && (st.Ino != o.st.Ino || st.Dev != o.st.Dev):
		err = errors.New("another file has taken its name")
	case err == nil && st.Mtim != o.st.Mtim || st.Size != o.st.Size:
		err = errors.New("it was written to")
	case err == nil && st.Nlink != o.st.Nlink:
		err = errors.New("it got another name, or lost one")
	}
	if err == nil {
		err = o.unused()
	}
	if err != nil {
		return fmt.Errorf("%s stays as it is: %w", o.path, err)
	}
	if o.backup == "" {
		return nil
	}
	err = unix.Linkat(int(o.dir.Fd()), o.name, int(o.dir.Fd()), o.backup, 0)
	if errors.Is(err, fs.ErrExist) {
		if st, err2 := o.stat(o.backup); err2 == nil && st.Ino == o.st.Ino && st.Dev == o.st.Dev {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("%s stays as it is: its backup %s cannot be made: %w", o.path, o.backup, err)
	}
	return o.dir.Sync()
}

// Replace makes an empty output that takes the place of an image when it is published. Whose it is, who may do what
// with it, and its attributes are those of the image.
func Replace(o *Original) (*Pending, error) {
	p, err := Create(o.path, false)
	if err != nil {
		return nil, err
	}
	p.original = o
	if err := o.prepare(p.File()); err != nil {
		p.Discard()
		return nil, fmt.Errorf("cannot write the output %q: %w", o.path, err)
	}
	return p, nil
}

// Backup is the path that the image keeps; empty where it keeps none.
func (o *Original) Backup() string {
	if o.backup == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(o.path), o.backup)
}
