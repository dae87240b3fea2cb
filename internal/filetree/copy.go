// Package filetree copies a tree of files faithfully and compares two trees. A copy has the owners,
// modes, times to the nanosecond, hard links, extended attributes (ACLs, capabilities and security
// labels among them), flags (immutable, append-only), special files and holes of its source, and no hole that
// the source lacks. A hard link that would lead from one filesystem to another becomes a file of its own.
package filetree

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/rootfs"
)

// Options say what is special about a tree.
type Options struct {
	// FAT are the folders, from the top, below which either tree is a FAT filesystem: there are only
	// names, sizes and contents.
	FAT []string
	// Skip are folders whose content is no part of the tree.
	Skip []string
	// Tops are the folders at which either tree has a filesystem of its own. An empty lost+found there
	// belongs to that filesystem, not to the tree.
	Tops []string
	// Progress gets the bytes copied so far.
	Progress func(done int64)
	// Parted gets the further names of files with several, which were copied to a filesystem of their own.
	Parted func(rel string)
}

func (o Options) fat(rel string) bool {
	for _, f := range o.FAT {
		if rel == f || strings.HasPrefix(rel, f+"/") {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// own tells whether a folder, of that name in another, is one that a filesystem has for itself.
func (o Options) own(dir folder, rel string) bool {
	if filepath.Base(rel) != "lost+found" || !contains(o.Tops, parent(rel)) {
		return false
	}
	below, err := dir.below(filepath.Base(rel))
	if err != nil {
		return false
	}
	defer below.close()
	names, err := below.names()
	return err == nil && len(names) == 0
}

// parent is the folder of a path from the top, which is "".
func parent(rel string) string {
	if d := filepath.Dir(rel); d != "." {
		return d
	}
	return ""
}

// inode identifies a file.
type inode struct{ dev, ino uint64 }

// named is a file with several names, as far as these lie on one filesystem of the copy: no hard link leads
// out of that.
type named struct {
	inode
	dst uint64 // device
}

// copier is the state of one copy.
type copier struct {
	Options
	src, dst *rootfs.Root
	files    chan entry
	links    []link
	dirs     []entry
	first    map[named]string // where a file with several names was copied to
	seen     map[inode]bool   // files with several names
	fixed    []flagged
	done     atomic.Int64
	fail     func(error)
	ctx      context.Context
}

type entry struct {
	rel string
	st  unix.Stat_t
}

type link struct{ from, to string }

// Copy copies what is in the folder src, and its own attributes, to the folder dst, which exists. What
// is mounted in either is part of it.
func Copy(ctx context.Context, src, dst *rootfs.Root, o Options) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := &copier{Options: o, src: src, dst: dst, files: make(chan entry, 256), first: map[named]string{}, seen: map[inode]bool{}, fail: cancel, ctx: ctx}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) + 1 {
		wg.Go(c.copyFiles)
	}
	err := c.walk("")
	if err != nil {
		cancel(err)
	}
	close(c.files)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return c.finish()
}

// walk makes what is in a folder but its regular files, which are left to others.
func (c *copier) walk(rel string) error {
	from, to, err := openBoth(c.src, c.dst, rel)
	if err != nil {
		return fail("open", rel, err)
	}
	below, err := c.content(from, to, rel)
	from.close()
	to.close()
	for _, n := range below {
		if err != nil {
			break
		}
		err = c.walk(filepath.Join(rel, n))
	}
	return err
}

// content makes what is in a folder, and returns the folders among that.
func (c *copier) content(from, to folder, rel string) (below []string, err error) {
	st, err := from.stat(".")
	if err != nil {
		return nil, fail("stat", rel, err)
	}
	c.dirs = append(c.dirs, entry{rel, st})
	if err := c.note(from, ".", rel); err != nil {
		return nil, err
	}
	if contains(c.Skip, rel) {
		return nil, nil
	}
	names, err := from.names()
	if err != nil {
		return nil, fail("list", rel, err)
	}
	for _, n := range names {
		if err := context.Cause(c.ctx); err != nil {
			return nil, err
		}
		dir, err := c.visit(from, to, filepath.Join(rel, n))
		if err != nil {
			return nil, err
		}
		if dir {
			below = append(below, n)
		}
	}
	return below, nil
}

func fail(what, rel string, err error) error { return fmt.Errorf("%s /%s: %w", what, rel, err) }

// visit makes one item of a folder, and tells whether it is a folder to be walked.
func (c *copier) visit(from, to folder, rel string) (dir bool, err error) {
	e, name := entry{rel: rel}, filepath.Base(rel)
	if e.st, err = from.stat(name); err != nil {
		return false, fail("stat", rel, err)
	}
	kind := e.st.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR {
		if c.own(from, rel) {
			return false, nil
		}
		if err := unix.Mkdirat(to.fd, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return false, fail("make", rel, err)
		}
		return true, nil
	}
	if linked, err := c.linked(to, e); linked || err != nil {
		return false, err
	}
	if kind == unix.S_IFREG {
		if err := c.note(from, name, rel); err != nil {
			return false, err
		}
		select {
		case c.files <- e:
		case <-c.ctx.Done():
		}
		return false, nil
	}
	return false, c.special(from, to, e, kind)
}

// linked tells whether an item is a further name of a file that was copied to the same filesystem.
func (c *copier) linked(to folder, e entry) (bool, error) {
	if e.st.Nlink < 2 {
		return false, nil
	}
	there, err := to.stat(".")
	if err != nil {
		return false, fail("stat", parent(e.rel), err)
	}
	id := named{inode{e.st.Dev, e.st.Ino}, there.Dev}
	if first, ok := c.first[id]; ok {
		c.links = append(c.links, link{first, e.rel})
		return true, nil
	}
	if c.seen[id.inode] && c.Parted != nil {
		c.Parted(e.rel)
	}
	c.first[id], c.seen[id.inode] = e.rel, true
	return false, nil
}

// special copies what is neither a folder nor a regular file.
func (c *copier) special(from, to folder, e entry, kind uint32) error {
	if c.fat(e.rel) {
		return fmt.Errorf("/%s is neither a file nor a folder: the FAT filesystem there cannot hold it", e.rel)
	}
	name := filepath.Base(e.rel)
	var err error
	if kind == unix.S_IFLNK {
		var target string
		if target, err = from.readlink(name); err == nil {
			err = unix.Symlinkat(target, to.fd, name)
		}
	} else {
		err = unix.Mknodat(to.fd, name, e.st.Mode, int(e.st.Rdev))
	}
	if err != nil {
		return fail("make", e.rel, err)
	}
	return c.attributes(from, to, e)
}

// finish makes further names of files, and gives folders, which have changed until now, their
// attributes, the innermost first.
func (c *copier) finish() error {
	for _, l := range c.links {
		if err := c.link(l); err != nil {
			return fail("link", l.to, err)
		}
	}
	for i := len(c.dirs) - 1; i >= 0; i-- {
		if err := c.folderAttributes(c.dirs[i]); err != nil {
			return err
		}
	}
	for _, f := range c.fixed { // nothing of theirs changes any more
		if err := setFlags(c.dst, f.rel, f.flags); err != nil {
			return fail("set the flags of", f.rel, err)
		}
	}
	return nil
}

func (c *copier) link(l link) error {
	a, err := openFolder(c.dst, parent(l.from))
	if err != nil {
		return err
	}
	defer a.close()
	b, err := openFolder(c.dst, parent(l.to))
	if err != nil {
		return err
	}
	defer b.close()
	return unix.Linkat(a.fd, filepath.Base(l.from), b.fd, filepath.Base(l.to), 0)
}

func (c *copier) folderAttributes(e entry) error {
	from, to, err := openBoth(c.src, c.dst, e.rel)
	if err != nil {
		return fail("open", e.rel, err)
	}
	defer from.close()
	defer to.close()
	if c.fat(e.rel) {
		return nil
	}
	if err := c.fileAttributes(to.fd, from.fd, e); err != nil {
		return fail("set the attributes of", e.rel, err)
	}
	return nil
}

// attributes gives the copy of what is neither a folder nor a regular file owner, mode, extended attributes
// and times.
func (c *copier) attributes(from, to folder, e entry) error {
	name := filepath.Base(e.rel)
	if err := unix.Fchownat(to.fd, name, int(e.st.Uid), int(e.st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fail("set the owner of", e.rel, err)
	}
	if e.st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := to.with(name, func(path string) error { return unix.Chmod(path, e.st.Mode&0o7777) }); err != nil {
			return fail("set the mode of", e.rel, err)
		}
	}
	attrs, err := from.attrs(name)
	if err != nil {
		return fail("read the attributes of", e.rel, err)
	}
	for key, value := range attrs {
		if err := to.with(name, func(path string) error { return unix.Setxattr(path, key, value, 0) }); err != nil {
			return fail("set the attribute "+key+" of", e.rel, err)
		}
	}
	times := []unix.Timespec{e.st.Atim, e.st.Mtim}
	if err := unix.UtimesNanoAt(to.fd, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fail("set the times of", e.rel, err)
	}
	return nil
}
