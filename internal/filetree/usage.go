package filetree

import (
	"context"
	"path/filepath"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/rootfs"
)

// Usage is what files take up.
type Usage struct {
	Bytes int64 // in blocks of 4 KiB, without holes
	Files int64
}

// Measure adds up what is in the tree below root, for each of the folders that a filesystem is
// mounted at: a file belongs to the nearest of them. Tops holds "" for root itself.
func Measure(ctx context.Context, root *rootfs.Root, o Options) (map[string]Usage, error) {
	m := measurer{Options: o, root: root, seen: map[counted]bool{}, use: map[string]Usage{}}
	return m.use, m.folder(ctx, "", "")
}

// counted is a file that a filesystem has, whatever the number of its names there.
type counted struct {
	inode
	top string
}

type measurer struct {
	Options
	root *rootfs.Root
	seen map[counted]bool
	use  map[string]Usage
}

// folder adds up a folder, which a filesystem mounted at top has.
func (m measurer) folder(ctx context.Context, rel, top string) error {
	dir, err := openFolder(m.root, rel)
	if err != nil {
		return fail("open", rel, err)
	}
	if contains(m.Tops, rel) {
		top = rel
	}
	below, err := m.content(ctx, dir, rel, top)
	dir.close()
	for _, n := range below {
		if err != nil {
			break
		}
		err = m.folder(ctx, filepath.Join(rel, n), top)
	}
	return err
}

// content adds up the folder itself and what is in it but folders, which it returns.
func (m measurer) content(ctx context.Context, dir folder, rel, top string) (below []string, err error) {
	st, err := dir.stat(".")
	if err != nil {
		return nil, fail("stat", rel, err)
	}
	m.add(st, top)
	if contains(m.Skip, rel) {
		return nil, nil
	}
	names, err := dir.names()
	if err != nil {
		return nil, fail("list", rel, err)
	}
	for _, n := range names {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		st, err := dir.stat(n)
		switch {
		case err != nil:
			return nil, fail("stat", filepath.Join(rel, n), err)
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			below = append(below, n)
		default:
			m.add(st, top)
		}
	}
	return below, nil
}

func (m measurer) add(st unix.Stat_t, top string) {
	id := counted{inode{st.Dev, st.Ino}, top}
	dir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if !dir && m.seen[id] {
		return
	}
	m.seen[id] = m.seen[id] || st.Nlink > 1 && !dir
	const block = 4096
	u := m.use[top]
	u.Files++
	u.Bytes += (min(st.Blocks*512, st.Size) + block - 1) / block * block
	m.use[top] = u
}
