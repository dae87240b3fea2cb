package hostfs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Filesystem{}, err
	}
	f := find(string(table), path)
	free := st.Bavail
	if os.Geteuid() == 0 && !f.reserved {
		free = st.Bfree
	}
	f.Size, f.Free = int64(st.Blocks)*st.Bsize, int64(free)*st.Bsize
	return f, nil
}

// find looks for the mount that a path lies on: the latest of those with the longest mount point.
func find(mountinfo, path string) (f Filesystem) {
	for line := range strings.Lines(mountinfo) {
		before, after, _ := strings.Cut(line, " - ")
		a, b := strings.Fields(before), strings.Fields(after)
		if len(a) < 5 || len(b) < 2 {
			continue
		}
		at := unescape(a[4])
		if within(path, at) && len(at) >= len(f.Mount) {
			f = Filesystem{Mount: at, Type: b[0], source: a[2], reserved: reservedForOthers(b)}
			if strings.HasPrefix(b[1], "/") { // subvolumes of one device have numbers of their own
				f.source = b[1]
			}
		}
	}
	return f
}

func within(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// unescape undoes how the kernel writes blanks in /proc/self/mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// Same tells whether both share their free space.
func (f Filesystem) Same(other Filesystem) bool { return f.source == other.source }

func (f Filesystem) String() string { return fmt.Sprintf("%s (%s)", f.Mount, f.Type) }

// reservedForOthers tells whether the options of a filesystem name a user whom its reserved blocks are for.
// Linux names only one who is not root. Programs in a fence cannot use such blocks as root.
func reservedForOthers(fields []string) bool {
	return len(fields) > 2 && slices.ContainsFunc(strings.Split(fields[2], ","), func(o string) bool {
		return strings.HasPrefix(o, "resuid=") && o != "resuid=0"
	})
}
