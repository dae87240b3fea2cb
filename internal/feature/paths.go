package feature

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/machine"
)

func In(dir, name string) bool { return name == dir || Below(name, dir) }

// Below tells whether a path lies below another.
func Below(p, dir string) bool {
	return p != dir && strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

func CleanPath(p string) bool {
	return !slices.ContainsFunc(strings.Split(p, "/"), func(part string) bool { return part == "" || part == "." || part == ".." })
}

// NotDirectory is the first part of a path that is there and no folder, or "".
func NotDirectory(m *machine.Machine, name string) string {
	if name == "" {
		return ""
	}
	if !strings.HasPrefix(name, "/") {
		return fmt.Sprintf("%q", name)
	}
	at := ""
	for part := range strings.SplitSeq(strings.Trim(path.Clean(name), "/"), "/") {
		at += "/" + part
		if !m.Root.IsDir(at) {
			if _, err := m.Root.Lstat(at); err == nil {
				return at
			}
			return ""
		}
	}
	return ""
}

const (
	Fstab        = "/etc/fstab"
	GRUBDefaults = "/etc/default/grub"
	DracutDir    = "/etc/dracut.conf.d"
)
