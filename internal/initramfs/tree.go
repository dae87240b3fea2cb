package initramfs

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/rootfs"
)

// Tree is a folder whose content becomes an initramfs image.
type Tree struct {
	Dir     string
	Exclude []string          // paths below it that are left out, with everything in them
	Links   map[string]string // symbolic links to add: target by path below it
}

// WriteImage writes the tree as an initramfs image, compressed in a format that needs no program of
// an image: gzip or zstd. Extended attributes are lost: the archive has no place for them.
func (t Tree) WriteImage(ctx context.Context, format string, w io.Writer) error {
	archive := stage(nil, func(dst io.Writer, _ io.Reader) error { return t.write(ctx, dst) })
	defer archive.Close()
	return compress(ctx, nil, format, w, archive)
}

// inode identifies a file, for hard links.
type inode struct{ dev, number uint64 }

// treeWriter writes a cpio archive.
type treeWriter struct {
	Tree
	root   *rootfs.Root
	w      io.Writer
	at     int64
	serial int64           // number of the last entry
	linked map[inode]int64 // entry of a file with several names
}

func (t Tree) write(ctx context.Context, w io.Writer) error {
	return rootfs.With(func(roots ...*rootfs.Root) error {
		tw := &treeWriter{Tree: t, root: roots[0], w: w, linked: map[inode]int64{}}
		if err := tw.all(ctx); err != nil {
			return err
		}
		for name, target := range t.Links {
			h := header{mode: unix.S_IFLNK | 0o777, links: 1, size: int64(len(target))}
			if err := tw.entry(name, h, target); err != nil {
				return err
			}
		}
		return tw.entry(trailer, header{links: 1}, "")
	}, t.Dir)
}

func (t *treeWriter) all(ctx context.Context) error {
	fi, err := t.root.Stat("/")
	if err != nil {
		return err
	}
	if err := t.add(".", fi); err != nil {
		return err
	}
	return t.root.Walk("/", func(name string, e fs.DirEntry) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		return t.add(strings.TrimPrefix(name, "/"), fi)
	})
}

func (t *treeWriter) add(rel string, fi fs.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: what it is cannot be told", rel)
	}
	dir := fi.IsDir()
	if slices.Contains(t.Exclude, rel) && dir {
		return fs.SkipDir
	}
	if slices.Contains(t.Exclude, rel) || st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		return nil
	}
	h := header{mode: st.Mode, uid: st.Uid, gid: st.Gid, links: uint64(st.Nlink), mtime: st.Mtim.Sec, rdev: st.Rdev} //nolint:unconvert // 32 bits on arm64
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		target, err := t.root.Readlink(rel)
		if err != nil {
			return err
		}
		h.size = int64(len(target))
		return t.entry(rel, h, target)
	case unix.S_IFREG:
		return t.root.WithFile(rel, func(f *os.File) error { return t.file(f, rel, h, st) })
	}
	return t.entry(rel, h, "")
}

// file writes a regular file; the content of one with several names goes with the first.
func (t *treeWriter) file(f *os.File, rel string, h header, st *syscall.Stat_t) error {
	id := inode{st.Dev, st.Ino}
	if n, seen := t.linked[id]; seen && st.Nlink > 1 {
		h.ino = n
		return t.entry(rel, h, "")
	}
	const largest = 1<<32 - 1
	if st.Size > largest {
		return fmt.Errorf("%s has %d bytes; a file in an initramfs has at most %d", rel, st.Size, int64(largest))
	}
	h.size = st.Size
	if err := t.entry(rel, h, ""); err != nil {
		return err
	}
	t.linked[id] = t.serial
	n, err := io.CopyN(t.w, f, st.Size)
	t.at += n
	if err != nil {
		return fmt.Errorf("%s: %w", rel, err)
	}
	return t.pad()
}

// header is what an entry says of a file.
type header struct {
	ino         int64 // 0 means a new one
	mode        uint32
	uid, gid    uint32
	links       uint64
	mtime, size int64
	rdev        uint64
}

// entry writes a header, the name and, for a link, its target.
func (t *treeWriter) entry(name string, h header, target string) error {
	if h.ino == 0 {
		t.serial++
		h.ino = t.serial
	}
	text := "070701"
	for _, n := range []int64{
		h.ino, int64(h.mode), int64(h.uid), int64(h.gid), int64(h.links), h.mtime, h.size, 0, 0,
		int64(unix.Major(h.rdev)), int64(unix.Minor(h.rdev)), int64(len(name) + 1), 0,
	} {
		text += fmt.Sprintf("%08X", uint32(n))
	}
	if err := t.text(text + name + "\x00"); err != nil || target == "" {
		return err
	}
	return t.text(target)
}

func (t *treeWriter) text(s string) error {
	n, err := io.WriteString(t.w, s)
	t.at += int64(n)
	if err != nil {
		return err
	}
	return t.pad()
}

func (t *treeWriter) pad() error {
	n, err := t.w.Write(make([]byte, align(t.at)-t.at))
	t.at += int64(n)
	return err
}
