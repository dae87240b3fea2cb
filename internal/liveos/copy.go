package liveos

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"imagecustomizer/internal/rootfs"
)

// copier copies files, folders and symbolic links of a tree into another. Whatever links either has, they
// lead nowhere but into the tree that has them; those that are copied are made at the end.
type copier struct {
	from, to *rootfs.Root
	skip     func(name string) bool // leaves out what is at a path of the first tree
	links    map[string]string      // text by path
}

// copyTree copies what is in a folder. Links that lead nowhere are left out, and what skip says.
func copyTree(from *rootfs.Root, dir string, to *rootfs.Root, dst string, skip func(name string) bool) error {
	c := copier{from: from, to: to, skip: skip, links: map[string]string{}}
	if err := c.folder(dir, dst); err != nil {
		return err
	}
	return addLinks(to, c.links)
}

func (c copier) folder(dir, dst string) error {
	if err := c.to.MkdirAll(dst, 0o755); err != nil {
		return err
	}
	entries, err := c.from.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if c.skip(name) {
			continue
		}
		if err := c.entry(e, name, path.Join(dst, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (c copier) entry(e fs.DirEntry, name, dst string) error {
	switch {
	case e.IsDir():
		return c.folder(name, dst)
	case e.Type() == fs.ModeSymlink:
		if !c.from.Exists(name) {
			return nil
		}
		target, err := c.from.Readlink(name)
		c.links[dst] = target
		return err
	case e.Type().IsRegular():
		return c.from.WithFile(name, func(f *os.File) error { return replace(c.to, dst, f, 0o644) })
	}
	return nil // a device or a socket has no place on a medium
}

// addLinks makes links, each in the place of what is there.
func addLinks(root *rootfs.Root, links map[string]string) error {
	for name, target := range links {
		if err := errors.Join(root.RemoveAll(name), root.Symlink(target, name)); err != nil {
			return err
		}
	}
	return nil
}

// replace puts a file into the place of whatever has its name: the file that a link there leads to is
// another one.
func replace(root *rootfs.Root, name string, src io.Reader, mode fs.FileMode) error {
	if fi, err := root.Lstat(name); err == nil && !fi.Mode().IsRegular() {
		if err := root.RemoveAll(name); err != nil {
			return err
		}
	}
	return root.CopyFrom(src, name, mode)
}

// put writes a file, and makes the folders it lies in.
func put(root *rootfs.Root, name string, src io.Reader, mode fs.FileMode) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return root.CopyFrom(src, name, mode)
}

func putText(root *rootfs.Root, name, text string) error {
	return put(root, name, strings.NewReader(text), 0o644)
}
