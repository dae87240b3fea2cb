package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Work is the worker's own folder: a tmpfs nobody else sees and that goes with the worker.
const Work = "/.mic"

// device is one node of a private /dev.
type device struct {
	name  string
	mode  uint32
	major uint32
	minor uint32
	extra bool // runs do without it, where it may not be made
}

// standardDevices are the nodes any program may expect; numbers as in the kernel's
// Documentation/admin-guide/devices.txt.
var standardDevices = []device{
	{"null", 0o666, 1, 3, false},
	{"zero", 0o666, 1, 5, false},
	{"full", 0o666, 1, 7, false},
	{"random", 0o666, 1, 8, false},
	{"urandom", 0o666, 1, 9, false},
	{"tty", 0o666, 5, 0, false},
}

// workerDevices are what the worker needs besides.
var workerDevices = append([]device{{"loop-control", 0o600, 10, 237, false}, {"fuse", 0o600, 10, 229, true}, {"btrfs-control", 0o600, 10, 234, true}}, standardDevices...)

// tree is one entry of the host's root folder, taken along into the worker's root.
type tree struct {
	name string
	link string // target, for a symbolic link
	fd   int    // detached read-only copy of the mounts below, otherwise
	dir  bool
}

// enterPrivateRoot gives the worker a root of its own: a tmpfs that shows the host's files at their
// places, read-only, but has its own /dev, /proc, /run and Work. Nothing is left on the host when the
// worker ends, since the host never sees any of it.
func enterPrivateRoot(spec Spec, own int) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	trees, err := cloneHost()
	if err != nil {
		return err
	}
	trees = append(trees, tree{name: ownFile, fd: own})
	shown, err := cloneShown(append(nameServers, spec.Shown...))
	if err != nil {
		return err
	}
	trees = append(trees, shown...)
	for name, path := range spec.Writable {
		fd, err := clone(path, unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID)
		if err != nil {
			return fmt.Errorf("copy the mount of %s: %w", path, err)
		}
		trees = append(trees, tree{name: Writable(name), fd: fd, dir: true})
	}
	const newRoot = "/sys" // any folder that every host has; it is covered in this namespace only
	if err := unix.Mount("imagecustomizer", newRoot, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount the worker's root: %w", err)
	}
	for _, t := range trees {
		if err := t.attach(newRoot); err != nil {
			return fmt.Errorf("show /%s to the worker: %w", t.name, err)
		}
	}
	if err := makeWorkerFolders(newRoot); err != nil {
		return err
	}
	if err := coverFiles(newRoot, spec.Hidden); err != nil {
		return err
	}
	return pivot(newRoot)
}

// privateFolders of the host's root are not shown to the worker: devices, processes, and the sockets of daemons.
var privateFolders = []string{"dev", "proc", "run"}

// nameServers are files in the host's /run that hold, or lead to, its resolv.conf.
var nameServers = []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}

// cloneShown copies the mounts of those files and folders that lie in folders not shown otherwise: a base
// image in /dev/shm, a secret in /run/secrets. One that is not there is somebody else's error.
func cloneShown(paths []string) (trees []tree, err error) {
	for _, p := range paths {
		real, err := filepath.EvalSymlinks(p)
		if err != nil || !filepath.IsAbs(real) || !slices.Contains(privateFolders, strings.SplitN(real, "/", 3)[1]) {
			continue
		}
		fi, err := os.Lstat(real)
		if err != nil || !fi.IsDir() && !fi.Mode().IsRegular() || slices.ContainsFunc(trees, func(t tree) bool { return t.name == real }) {
			continue
		}
		fd, err := CloneReadOnly(real)
		if err != nil {
			return nil, fmt.Errorf("copy the mount of %s: %w", real, err)
		}
		trees = append(trees, tree{name: real, fd: fd, dir: fi.IsDir()})
	}
	slices.SortFunc(trees, func(a, b tree) int { return cmp.Compare(a.name, b.name) }) // a folder before what is in it
	return trees, nil
}

func cloneHost() ([]tree, error) {
	entries, err := os.ReadDir("/")
	if err != nil {
		return nil, err
	}
	var trees []tree
	for _, e := range entries {
		t := tree{name: e.Name(), dir: e.IsDir()}
		switch {
		case slices.Contains(privateFolders, t.name) || "/"+t.name == Work:
			continue
		case e.Type() == os.ModeSymlink:
			t.link, err = os.Readlink("/" + t.name)
		default:
			t.fd, err = CloneReadOnly("/" + t.name)
		}
		if err != nil {
			return nil, fmt.Errorf("copy the mounts below /%s: %w", t.name, err)
		}
		trees = append(trees, t)
	}
	return trees, nil
}

// CloneReadOnly returns a detached copy of the mount tree at path, all of which is read-only, without devices
// and set-user-ID programs (mount_setattr, Linux 5.12).
func CloneReadOnly(path string) (int, error) {
	return clone(path, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID)
}

func clone(path string, attributes uint64) (int, error) {
	const recursive = unix.AT_RECURSIVE
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|recursive)
	if err != nil {
		return -1, err
	}
	attr := &unix.MountAttr{Attr_set: attributes}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|recursive, attr); err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// AttachAt puts a detached mount at a path and closes its descriptor.
func AttachAt(fd int, path string) error {
	err := unix.MoveMount(fd, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS)
	return errors.Join(err, unix.Close(fd))
}

func (t tree) attach(root string) error {
	path := filepath.Join(root, t.name)
	if t.link != "" {
		return os.Symlink(t.link, path)
	}
	var err error
	if _, missing := os.Lstat(path); missing == nil { // it lies in a folder that is shown
		return unix.Close(t.fd)
	}
	if t.dir {
		err = os.MkdirAll(path, 0o755)
	} else {
		err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600))
	}
	if err != nil {
		return errors.Join(err, unix.Close(t.fd))
	}
	return AttachAt(t.fd, path)
}

func makeWorkerFolders(root string) error {
	for _, d := range []string{"dev", "proc", "run", Work, Work + "/tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY // a write in it would be the kernel's
	if err := unix.Mount("proc", root+"/proc", "proc", flags, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := hide(root+"/proc", hidden); err != nil {
		return err
	}
	return makeNodes(root+"/dev", workerDevices)
}

// makeNodes fills a folder with device nodes and the usual links.
func makeNodes(dir string, devices []device) error {
	for _, d := range devices {
		path := filepath.Join(dir, d.name)
		err := unix.Mknod(path, unix.S_IFCHR|d.mode, int(unix.Mkdev(d.major, d.minor)))
		if err != nil && d.extra {
			continue
		}
		if err != nil {
			return fmt.Errorf("make device node %s: %w", path, err)
		}
		if err := os.Chmod(path, os.FileMode(d.mode)); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// pivot makes dir the root of the namespace and drops the old one.
func pivot(dir string) error {
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("drop the old root: %w", err)
	}
	return os.Chdir("/")
}
