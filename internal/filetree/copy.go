// Package filetree copies a tree of files faithfully and compares two trees. A copy has the owners,
// modes, times to the nanosecond, hard links, extended attributes (ACLs, capabilities and security
// labels among them), special files and holes of its source, and no hole that the source lacks.
package filetree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
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

// own tells whether a folder is one that a filesystem has for itself.
func (o Options) own(root, rel string) bool {
	if filepath.Base(rel) != "lost+found" || !contains(o.Tops, parent(rel)) {
		return false
	}
	entries, err := os.ReadDir(filepath.Join(root, rel))
	return err == nil && len(entries) == 0
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

// copier is the state of one copy.
type copier struct {
	Options
	src, dst string
	files    chan entry
	links    []link
	dirs     []entry
	first    map[inode]string // where a file with several names was copied to
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
func Copy(ctx context.Context, src, dst string, o Options) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := &copier{Options: o, src: src, dst: dst, files: make(chan entry, 256), first: map[inode]string{}, fail: cancel, ctx: ctx}
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
	var st unix.Stat_t
	if err := unix.Lstat(c.from(rel), &st); err != nil {
		return fail("stat", rel, err)
	}
	c.dirs = append(c.dirs, entry{rel, st})
	if contains(c.Skip, rel) {
		return nil
	}
	names, err := readNames(c.from(rel))
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := context.Cause(c.ctx); err != nil {
			return err
		}
		if err := c.visit(filepath.Join(rel, n)); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) from(rel string) string { return filepath.Join(c.src, rel) }
func (c *copier) to(rel string) string   { return filepath.Join(c.dst, rel) }

func fail(what, rel string, err error) error { return fmt.Errorf("%s /%s: %w", what, rel, err) }

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	sort.Strings(names)
	return names, err
}

func (c *copier) visit(rel string) error {
	e := entry{rel: rel}
	if err := unix.Lstat(c.from(rel), &e.st); err != nil {
		return fail("stat", rel, err)
	}
	kind := e.st.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR {
		if c.own(c.src, rel) {
			return nil
		}
		if err := unix.Mkdir(c.to(rel), 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return fail("make", rel, err)
		}
		return c.walk(rel)
	}
	if e.st.Nlink > 1 {
		id := inode{e.st.Dev, e.st.Ino}
		if first, ok := c.first[id]; ok {
			c.links = append(c.links, link{first, rel})
			return nil
		}
		c.first[id] = rel
	}
	if kind == unix.S_IFREG {
		select {
		case c.files <- e:
		case <-c.ctx.Done():
		}
		return nil
	}
	return c.special(e, kind)
}

// special copies what is neither a folder nor a regular file.
func (c *copier) special(e entry, kind uint32) error {
	if c.fat(e.rel) {
		return fmt.Errorf("/%s is neither a file nor a folder: the FAT filesystem there cannot hold it", e.rel)
	}
	var err error
	if kind == unix.S_IFLNK {
		var target string
		if target, err = os.Readlink(c.from(e.rel)); err == nil {
			err = unix.Symlink(target, c.to(e.rel))
		}
	} else {
		err = unix.Mknod(c.to(e.rel), e.st.Mode, int(e.st.Rdev))
	}
	if err != nil {
		return fail("make", e.rel, err)
	}
	return c.attributes(e)
}

// finish makes further names of files, and gives folders, which have changed until now, their
// attributes, the innermost first.
func (c *copier) finish() error {
	for _, l := range c.links {
		if err := unix.Link(c.to(l.from), c.to(l.to)); err != nil {
			return fail("link", l.to, err)
		}
	}
	for i := len(c.dirs) - 1; i >= 0; i-- {
		if err := c.attributes(c.dirs[i]); err != nil {
			return err
		}
	}
	return nil
}

// attributes gives the copy of something that is no regular file owner, mode, extended attributes and
// times.
func (c *copier) attributes(e entry) error {
	to := c.to(e.rel)
	if c.fat(e.rel) {
		return nil
	}
	if err := unix.Lchown(to, int(e.st.Uid), int(e.st.Gid)); err != nil {
		return fail("set the owner of", e.rel, err)
	}
	if e.st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(to, e.st.Mode&0o7777); err != nil {
			return fail("set the mode of", e.rel, err)
		}
	}
	attrs, err := readAttrs(byPath(c.from(e.rel)))
	if err != nil {
		return fail("read the attributes of", e.rel, err)
	}
	for name, value := range attrs {
		if err := unix.Lsetxattr(to, name, value, 0); err != nil {
			return fail("set the attribute "+name+" of", e.rel, err)
		}
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, to, []unix.Timespec{e.st.Atim, e.st.Mtim}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fail("set the times of", e.rel, err)
	}
	return nil
}
