package hostfs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Filesystem is a mounted filesystem of the build host.
type Filesystem struct {
	Mount string // where it is mounted
	Type  string
	Size  int64 // bytes
	Free  int64 // bytes that this process may still write

	source string

	reserved bool // some of its free blocks are for another user than root
}

// FilesystemOf finds the filesystem of an existing folder or file.
func FilesystemOf(path string) (Filesystem, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return Filesystem{}, err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return Filesystem{}, fmt.Errorf("free space of %s: %w", path, err)
	}
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		return Filesystem{}, err
	}
	f := find(mounts, path)
	free := st.Bavail
	if os.Geteuid() == 0 && !f.reserved {
		free = st.Bfree
	}
	f.Size, f.Free = int64(st.Blocks)*st.Bsize, int64(free)*st.Bsize
	return f, nil
}

// find looks for the mount that a path lies on: the latest of those with the longest mount point.
func find(mounts []*mountinfo.Info, path string) (f Filesystem) {
	for _, m := range mounts {
		if within(path, m.Mountpoint) && len(m.Mountpoint) >= len(f.Mount) {
			f = Filesystem{Mount: m.Mountpoint, Type: m.FSType, source: fmt.Sprintf("%d:%d", m.Major, m.Minor), reserved: reservedForOthers(m.VFSOptions)}
			if strings.HasPrefix(m.Source, "/") { // subvolumes of one device have numbers of their own
				f.source = m.Source
			}
		}
	}
	return f
}

func within(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// Same tells whether both share their free space.
func (f Filesystem) Same(other Filesystem) bool { return f.source == other.source }

func (f Filesystem) String() string { return fmt.Sprintf("%s (%s)", f.Mount, f.Type) }

// reservedForOthers tells whether the options of a filesystem name a user whom its reserved blocks are for.
// Linux names only one who is not root. Programs in a fence cannot use such blocks as root.
func reservedForOthers(options string) bool {
	return slices.ContainsFunc(strings.Split(options, ","), func(o string) bool {
		return strings.HasPrefix(o, "resuid=") && o != "resuid=0"
	})
}
