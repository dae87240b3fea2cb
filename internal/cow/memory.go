package cow

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// memoryLimited tells whether a control group, of either version, limits the memory of this process. Where it
// does, the kernel lets who needs memory wait until data of the group is written: the process that serves a
// disk would wait for itself, and nothing but taking its filesystem away would end that.
func memoryLimited() bool {
	var info unix.Sysinfo_t
	groups, err := os.ReadFile("/proc/self/cgroup")
	mounts, err2 := os.ReadFile("/proc/self/mountinfo")
	if err != nil || err2 != nil || unix.Sysinfo(&info) != nil {
		return false
	}
	total := info.Totalram * uint64(info.Unit)
	for line := range strings.Lines(string(mounts)) {
		if top, group := memoryGroup(strings.Fields(line), string(groups)); top != "" && limitedBelow(top, group, total) {
			return true
		}
	}
	return false
}

// memoryGroup is where a hierarchy of control groups that may limit memory is mounted, and the folder of this
// process's group in it. A container may see no other group than its own, or not even that.
func memoryGroup(mount []string, groups string) (top, group string) {
	n := slices.Index(mount, "-")
	if n < 5 || len(mount) < n+4 {
		return "", ""
	}
	kind, options := mount[n+1], strings.Split(mount[n+3], ",")
	if kind != "cgroup2" && (kind != "cgroup" || !slices.Contains(options, "memory")) {
		return "", ""
	}
	root, top := mount[3], mount[4]
	for line := range strings.Lines(groups) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && slices.Contains(strings.Split(f[1], ","), map[string]string{"cgroup": "memory"}[kind]) {
			if rel, err := filepath.Rel(root, f[2]); err == nil && filepath.IsLocal(rel) {
				return top, filepath.Join(top, rel)
			}
		}
	}
	return top, top
}

// limitedBelow tells whether a group, or one above it, has a limit below a size.
func limitedBelow(top, group string, size uint64) bool {
	for dir := group; strings.HasPrefix(dir, top); dir = filepath.Dir(dir) {
		for _, name := range []string{"memory.max", "memory.high", "memory.limit_in_bytes"} {
			text, _ := os.ReadFile(filepath.Join(dir, name))
			if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil && n < size {
				return true
			}
		}
	}
	return false
}
