package filetree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/rootfs"
)

// comparer is the state of one comparison.
type comparer struct {
	Options
	a, b  *rootfs.Root
	files chan pair
	names map[named]inode // of files with several names, from a to b
	fail  func(error)
	ctx   context.Context
}

// pair is one regular file in both trees.
type pair struct {
	rel  string
	a, b unix.Stat_t
}

// Compare returns an error that names a difference of the two trees, if there is any.
func Compare(ctx context.Context, a, b *rootfs.Root, o Options) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := &comparer{Options: o, a: a, b: b, files: make(chan pair, 256), names: map[named]inode{}, fail: cancel, ctx: ctx}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(c.compareFiles)
	}
	if err := c.root(); err != nil {
		cancel(err)
	}
	close(c.files)
	wg.Wait()
	return context.Cause(ctx)
}

func differ(rel, format string, args ...any) error {
	return fmt.Errorf("the copy of /%s differs from the original: %s", rel, fmt.Sprintf(format, args...))
}

func (c *comparer) root() error {
	a, b, err := openBoth(c.a, c.b, "")
	if err != nil {
		return err
	}
	defer a.close()
	defer b.close()
	if _, err := c.item(a, b, ""); err != nil {
		return err
	}
	return c.folder("")
}

// folder compares what is in a folder.
func (c *comparer) folder(rel string) error {
	if contains(c.Skip, rel) {
		return nil
	}
	a, b, err := openBoth(c.a, c.b, rel)
	if err != nil {
		return fail("open", rel, err)
	}
	below, err := c.content(a, b, rel)
	a.close()
	b.close()
	for _, n := range below {
		if err != nil {
			break
		}
		err = c.folder(filepath.Join(rel, n))
	}
	return err
}

// content compares the items of a folder, and returns the folders among them.
func (c *comparer) content(a, b folder, rel string) (below []string, err error) {
	here, err := c.list(a, rel)
	if err != nil {
		return nil, err
	}
	there, err := c.list(b, rel)
	if err != nil {
		return nil, err
	}
	for _, n := range there {
		if _, ok := slices.BinarySearch(here, n); !ok {
			return nil, differ(filepath.Join(rel, n), "the original has no such file")
		}
	}
	for _, n := range here {
		if err := context.Cause(c.ctx); err != nil {
			return nil, err
		}
		if _, ok := slices.BinarySearch(there, n); !ok {
			return nil, differ(filepath.Join(rel, n), "it is not there")
		}
		dir, err := c.item(a, b, filepath.Join(rel, n))
		if err != nil {
			return nil, err
		}
		if dir {
			below = append(below, n)
		}
	}
	return below, nil
}

// list reads the names in a folder, but those that belong to its filesystem.
func (c *comparer) list(dir folder, rel string) (names []string, err error) {
	all, err := dir.names()
	for _, n := range all {
		if !c.own(dir, filepath.Join(rel, n)) {
			names = append(names, n)
		}
	}
	return names, err
}

// item compares everything about one file but the content of a regular one, which is left to others. It tells
// whether both are folders.
func (c *comparer) item(a, b folder, rel string) (dir bool, err error) {
	p, name := pair{rel: rel}, filepath.Base(rel)
	if p.a, err = a.stat(name); err != nil {
		return false, fail("stat", rel, err)
	}
	if p.b, err = b.stat(name); err != nil {
		return false, fail("stat", rel, err)
	}
	kind := p.a.Mode & unix.S_IFMT
	if kind != p.b.Mode&unix.S_IFMT {
		return false, differ(rel, "it is another kind of file")
	}
	if !c.fat(rel) {
		if err := c.metadata(a, b, p); err != nil {
			return false, err
		}
	}
	if kind == unix.S_IFREG {
		select {
		case c.files <- p:
		case <-c.ctx.Done():
		}
	}
	return kind == unix.S_IFDIR, nil
}

func (c *comparer) metadata(dirA, dirB folder, p pair) error {
	a, b := p.a, p.b
	switch {
	case a.Mode != b.Mode:
		return differ(p.rel, "mode %o instead of %o", b.Mode, a.Mode)
	case a.Uid != b.Uid || a.Gid != b.Gid:
		return differ(p.rel, "owner %d:%d instead of %d:%d", b.Uid, b.Gid, a.Uid, a.Gid)
	case a.Mtim != b.Mtim:
		return differ(p.rel, "time %v instead of %v", b.Mtim, a.Mtim)
	case a.Rdev != b.Rdev:
		return differ(p.rel, "device number %#x instead of %#x", b.Rdev, a.Rdev)
	}
	if a.Mode&unix.S_IFMT == unix.S_IFLNK {
		la, errA := dirA.readlink(filepath.Base(p.rel))
		lb, errB := dirB.readlink(filepath.Base(p.rel))
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		if la != lb {
			return differ(p.rel, "it leads to %s instead of %s", lb, la)
		}
	}
	if err := c.linked(p); err != nil {
		return err
	}
	if kind := a.Mode & unix.S_IFMT; kind == unix.S_IFREG || kind == unix.S_IFDIR {
		fa, errA := dirA.flags(filepath.Base(p.rel))
		fb, errB := dirB.flags(filepath.Base(p.rel))
		if err := errors.Join(errA, errB); err != nil {
			return fail("read the flags of", p.rel, err)
		}
		if fa != fb {
			return differ(p.rel, "flags %#x instead of %#x", fb, fa)
		}
	}
	return compareAttrs(dirA, dirB, p.rel)
}

// linked checks that what was one file with several names is one, and nothing else is.
func (c *comparer) linked(p pair) error {
	if p.a.Mode&unix.S_IFMT == unix.S_IFDIR || p.a.Nlink == 1 && p.b.Nlink == 1 {
		return nil
	}
	from, to := named{inode{p.a.Dev, p.a.Ino}, p.b.Dev}, inode{p.b.Dev, p.b.Ino}
	was, seen := c.names[from]
	c.names[from] = to
	if seen && was != to || p.a.Nlink == 1 {
		return differ(p.rel, "its hard links are others")
	}
	return nil
}

func compareAttrs(dirA, dirB folder, rel string) error {
	a, errA := dirA.attrs(filepath.Base(rel))
	b, errB := dirB.attrs(filepath.Base(rel))
	if err := errors.Join(errA, errB); err != nil {
		return fail("read the attributes of", rel, err)
	}
	for name, value := range a {
		if !bytes.Equal(b[name], value) {
			return differ(rel, "extended attribute %s is %q instead of %q", name, b[name], value)
		}
	}
	if len(b) > len(a) {
		return differ(rel, "it has extended attributes that the original lacks")
	}
	return nil
}

func (c *comparer) compareFiles() {
	bufA, bufB := make([]byte, bufferSize), make([]byte, bufferSize)
	for p := range c.files {
		if c.ctx.Err() != nil {
			continue
		}
		if err := c.compareContent(p, bufA, bufB); err != nil {
			c.fail(err)
		}
	}
}

func (c *comparer) compareContent(p pair, bufA, bufB []byte) error {
	if p.a.Size != p.b.Size {
		return differ(p.rel, "%d bytes instead of %d", p.b.Size, p.a.Size)
	}
	if p.a.Size == 0 {
		return nil
	}
	a, err := c.a.OpenExact(p.rel, unix.O_RDONLY, 0)
	if err != nil {
		return fail("open", p.rel, err)
	}
	defer unix.Close(a)
	b, err := c.b.OpenExact(p.rel, unix.O_RDONLY, 0)
	if err != nil {
		return fail("open", p.rel, err)
	}
	defer unix.Close(b)
	if !sparse(&p.a) {
		if hole, err := unix.Seek(b, 0, unix.SEEK_HOLE); err != nil || hole < p.b.Size {
			return differ(p.rel, "it has a hole at %d that the original lacks", hole)
		}
	}
	for at := int64(0); at < p.a.Size; {
		want := int(min(bufferSize, p.a.Size-at))
		na, errA := unix.Pread(a, bufA[:want], at)
		nb, errB := unix.Pread(b, bufB[:want], at)
		if err := errors.Join(errA, errB); err != nil {
			return fail("read", p.rel, err)
		}
		n := min(na, nb)
		if n == 0 || !bytes.Equal(bufA[:n], bufB[:n]) {
			return differ(p.rel, "other content behind byte %d", at)
		}
		at += int64(n)
	}
	return nil
}
