//go:build root

package hostile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/rootfs"
	"imagecustomizer/test/fixture"
	"imagecustomizer/test/tinydisk"
)

// spot is a place in an image where something is planted. What was there has another name then.
type spot struct {
	name  string // on this machine, where the image is mounted
	aside string // what was there; empty if nothing was
	dir   bool   // it was a folder
	host  host
}

func (s spot) target() string {
	if s.dir {
		return s.host.folder
	}
	return s.host.file
}

// old is the text that was there.
func (s spot) old() []byte {
	text, _ := os.ReadFile(s.aside)
	return text
}

func (s spot) write(text []byte, mode fs.FileMode) error {
	return errors.Join(os.WriteFile(s.name, text, 0o644), os.Chmod(s.name, mode))
}

func (s spot) node(mode, number int) error { return unix.Mknod(s.name, uint32(mode)|0o666, number) }

// thing is what can be in the place of a file or folder.
type thing struct {
	name  string
	plant func(s spot) error
	leads bool // a plain script gets to the host by it
}

// huge is the name of a file that takes no space.
const huge = "huge file"

var things = []thing{
	{"link to the host", func(s spot) error { return os.Symlink(s.target(), s.name) }, true},
	{"climbing link", func(s spot) error { return os.Symlink(strings.Repeat("../", 24)+s.target()[1:], s.name) }, true},
	{"link through the kernel", func(s spot) error { return os.Symlink("/proc/self/root"+s.target(), s.name) }, true},
	{"dangling link", func(s spot) error { return os.Symlink(s.host.absent+"/x", s.name) }, false},
	{"looping link", func(s spot) error { return os.Symlink(filepath.Base(s.name), s.name) }, false},
	{"link to a device", func(s spot) error { return os.Symlink("/dev/zero", s.name) }, false},
	{"hard link", hardLink, false},
	{"FIFO", func(s spot) error { return s.node(unix.S_IFIFO, 0) }, false},
	{"socket", func(s spot) error { return s.node(unix.S_IFSOCK, 0) }, false},
	{"endless device", func(s spot) error { return s.node(unix.S_IFCHR, int(unix.Mkdev(1, 5))) }, false},
	{"disk", func(s spot) error { return s.node(unix.S_IFBLK, int(unix.Mkdev(7, 0))) }, false},
	{"folder", func(s spot) error { return errors.Join(os.Mkdir(s.name, 0o755), os.WriteFile(s.name+"/x", nil, 0o644)) }, false},
	{"file", func(s spot) error { return s.write([]byte("file\n"), 0o644) }, false},
	{huge, func(s spot) error { return errors.Join(s.write(s.old(), 0o644), os.Truncate(s.name, 1<<33)) }, false},
	{"unreadable", func(s spot) error { return s.write(s.old(), 0) }, false},
	{"empty file", func(s spot) error { return s.write(nil, 0o644) }, false},
	{"no newline", func(s spot) error { return s.write([]byte(strings.TrimRight(string(s.old()), "\n")), 0o644) }, false},
	{"line without end", func(s spot) error { return s.write([]byte(strings.Repeat("a", 8<<20)), 0o644) }, false},
	{"noise", func(s spot) error {
		return s.write([]byte("\x00\xff\x1b[2J\x1b]0;evil\x07\n=\n:::::::\n[\n\"\n"), 0o644)
	}, false},
	{"our program as interpreter", func(s spot) error { return s.write([]byte("#!/proc/self/exe\n"), 0o755) }, false},
}

// hardLink makes the name one of another file's.
func hardLink(s spot) error {
	if err := os.Link(rootOf(s)+"/etc/passwd", s.name); err == nil {
		return nil
	}
	return os.Link(rootOf(s)+"/etc/group", s.name)
}

// rootOf is the folder that the image is mounted at.
func rootOf(s spot) string { return s.name[:strings.Index(s.name, mountedAt)+len(mountedAt)] }

const mountedAt = "/mounted-image"

// withImage mounts the root of a disk while f runs.
func withImage(t *testing.T, image string, f func(dir string) error) {
	t.Helper()
	dir := t.TempDir() + mountedAt
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tinydisk.Run(t, "", "mount", "-o", fmt.Sprintf("loop,nodev,nosuid,offset=%d", fixture.RootOffset(t, image)), image, dir)
	err := f(dir)
	tinydisk.Run(t, "", "umount", "-l", dir) // a child that another test is just starting may have a file open
	if err := errors.Join(err, quiet(t, image)); err != nil {
		t.Fatal(err)
	}
}

// quiet waits until a loop device that is about to go has written everything to an image.
func quiet(t *testing.T, image string) error {
	t.Helper()
	for tinydisk.Run(t, "", "losetup", "-j", image) != "" {
		time.Sleep(10 * time.Millisecond)
	}
	f, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// find gets at a path in a mounted image, makes the folders above it, and moves what is there aside.
func find(dir, name string, h host) (s spot, err error) {
	root, err := rootfs.New(dir)
	if err != nil {
		return s, err
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return s, err
	}
	parent, err := root.OpenPath(path.Dir(name))
	if err != nil {
		return s, err
	}
	defer parent.Close()
	real, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", parent.Fd()))
	if err != nil {
		return s, err
	}
	s = spot{name: real + "/" + path.Base(name), host: h}
	fi, err := os.Lstat(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.dir, s.aside = fi.IsDir(), s.name+".aside"
	if fi.Mode()&fs.ModeSymlink != 0 { // the text behind a link is what counts
		text, _ := root.ReadFile(name)
		return s, errors.Join(os.Remove(s.name), os.WriteFile(s.aside, text, 0o755))
	}
	return s, os.Rename(s.name, s.aside)
}

// plant puts a thing at a path of an image.
func plant(t *testing.T, image, name string, what thing, h host) {
	t.Helper()
	withImage(t, image, func(dir string) error {
		s, err := find(dir, name, h)
		if err != nil {
			return err
		}
		if err := what.plant(s); err != nil {
			return err
		}
		if !what.leads {
			return nil
		}
		there, err := os.Stat(s.name)
		canary, err2 := os.Stat(s.target())
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if !os.SameFile(there, canary) {
			return errors.New("a plain script does not reach the host by it: the case shows nothing")
		}
		return nil
	})
}

// impersonate puts an impostor in the place of a program of an image.
func impersonate(t *testing.T, image, program, impostor, behaviour string, h host) {
	t.Helper()
	withImage(t, image, func(dir string) error {
		s, err := find(dir, program, h)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(impostor)
		if err != nil {
			return err
		}
		return errors.Join(s.write(text, 0o755), os.WriteFile(dir+"/.impostor", []byte(behaviour+"\n"+h.dir+"\n"), 0o644))
	})
}
