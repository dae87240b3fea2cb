package pkgmgr

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of the cache of packages and indexes. What was used within recent is another run's that goes on now.
var (
	maxCache  = int64(8) << 30
	maxUnused = 90 * 24 * time.Hour
	recent    = time.Hour
)

// cached is a file of the cache, and when it was last read, as far as the filesystem notes that, or written.
type cached struct {
	name string
	size int64
	used time.Time
}

// Prune takes out of a cache what no run has used for a long time, and of the rest what was used the longest ago where
// it is too large. A run that wanted it nevertheless downloads it again.
func Prune(cache string, now time.Time) error {
	dir := filepath.Join(cache, "sha256")
	files, err := cachedFiles(dir)
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b cached) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.name, b.name)) })
	var all int64
	for _, f := range files {
		all += f.size
	}
	var errs []error
	for _, f := range files {
		age := now.Sub(f.used)
		if age < recent || age < maxUnused && all <= maxCache {
			break // those behind it were used later
		}
		all -= f.size
		if err := os.Remove(filepath.Join(dir, f.name)); !errors.Is(err, fs.ErrNotExist) { // another run prunes, too
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func cachedFiles(dir string) (files []cached, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		var st unix.Stat_t
		if unix.Lstat(filepath.Join(dir, e.Name()), &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		used := time.Unix(max(st.Atim.Sec, st.Mtim.Sec), 0)
		files = append(files, cached{e.Name(), st.Blocks * 512, used})
	}
	return files, err
}
