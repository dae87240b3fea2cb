package filetree

import (
	"errors"
	"fmt"
	"os"
	"sort"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/rootfs"
)

// folder is an open folder of a tree. What is in it is reached by name alone, and no link is followed: so
// nothing outside the tree is, whatever becomes of it meanwhile.
type folder struct{ fd int }

// openFolder opens a folder of a tree.
func openFolder(root *rootfs.Root, rel string) (folder, error) {
	fd, err := root.OpenExact(rel, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	return folder{fd}, err
}

// openBoth opens the same folder of two trees.
func openBoth(a, b *rootfs.Root, rel string) (x, y folder, err error) {
	if x, err = openFolder(a, rel); err != nil {
		return x, y, err
	}
	if y, err = openFolder(b, rel); err != nil {
		x.close()
	}
	return x, y, err
}

func (f folder) close() { _ = unix.Close(f.fd) }

// below opens a folder in the folder.
func (f folder) below(name string) (folder, error) {
	fd, err := unix.Openat(f.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	return folder{fd}, err
}

func (f folder) stat(name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(f.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

// names lists what is in the folder, sorted.
func (f folder) names() ([]string, error) {
	fd, err := unix.Openat(f.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), ".")
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	sort.Strings(names)
	return names, err
}

func (f folder) readlink(name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(f.fd, name, buf)
	return string(buf[:max(n, 0)]), err
}

// with gives do a path of this process to an item, which is no link even where the item is one.
func (f folder) with(name string, do func(path string) error) error {
	fd, err := unix.Openat(f.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(do(fmt.Sprintf("/proc/self/fd/%d", fd)), unix.Close(fd))
}

// attrs reads the extended attributes of an item.
func (f folder) attrs(name string) (attrs map[string][]byte, err error) {
	err = f.with(name, func(path string) error {
		attrs, err = readAttrs(byPath(path))
		return err
	})
	return attrs, err
}
