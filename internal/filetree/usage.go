package filetree

import (
	"context"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Usage is what files take up.
type Usage struct {
	Bytes int64 // in blocks of 4 KiB, without holes
	Files int64
}

// Measure adds up what is in the tree below root, for each of the folders that a filesystem is
// mounted at: a file belongs to the nearest of them. Tops holds "" for root itself.
func Measure(ctx context.Context, root string, o Options) (map[string]Usage, error) {
	use := map[string]Usage{}
	return use, measure(ctx, root, "", "", o, map[inode]bool{}, use)
}

func measure(ctx context.Context, root, rel, top string, o Options, seen map[inode]bool, use map[string]Usage) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if contains(o.Tops, rel) {
		top = rel
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(root, rel), &st); err != nil {
		return fail("stat", rel, err)
	}
	id := inode{st.Dev, st.Ino}
	if dir := st.Mode&unix.S_IFMT == unix.S_IFDIR; dir || !seen[id] {
		seen[id] = seen[id] || st.Nlink > 1 && !dir
		const block = 4096
		u := use[top]
		u.Files++
		u.Bytes += (min(st.Blocks*512, st.Size) + block - 1) / block * block
		use[top] = u
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || contains(o.Skip, rel) {
		return nil
	}
	names, err := readNames(filepath.Join(root, rel))
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := measure(ctx, root, filepath.Join(rel, n), top, o, seen, use); err != nil {
			return err
		}
	}
	return nil
}
