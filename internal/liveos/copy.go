package liveos

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/rootfs"
)

// copyTree copies files, folders and symbolic links of an image to a folder of the worker. Links that
// lead nowhere are left out, and what skip says.
func copyTree(root *rootfs.Root, from, to string, skip func(name string) bool) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := root.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(from, e.Name())
		if skip(name) {
			continue
		}
		if err := copyEntry(root, e, name, filepath.Join(to, e.Name()), skip); err != nil {
			return err
		}
	}
	return nil
}

func copyEntry(root *rootfs.Root, e fs.DirEntry, name, to string, skip func(name string) bool) error {
	switch {
	case e.IsDir():
		return copyTree(root, name, to, skip)
	case e.Type() == fs.ModeSymlink:
		if !root.Exists(name) {
			return nil
		}
		target, err := root.Readlink(name)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case e.Type().IsRegular():
		f, err := root.Open(name, os.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		return writeFrom(f, to, 0o644)
	}
	return nil // a device or a socket has no place on a medium
}

func hostHas(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// sortKernels puts the newest kernel first.
func sortKernels(list []boot.Kernel) {
	slices.SortFunc(list, func(a, b boot.Kernel) int { return compareVersions(b.Version, a.Version) })
}

// compareVersions compares digit by digit group as numbers, and the rest as text.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		x, restA := versionPart(a)
		y, restB := versionPart(b)
		if len(x) != len(y) && isDigit(x[0]) && isDigit(y[0]) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
		a, b = restA, restB
	}
	return len(a) - len(b)
}

// versionPart is the digits or the other characters that a version begins with; zeros in front of
// digits do not count.
func versionPart(v string) (part, rest string) {
	n := 1
	for n < len(v) && isDigit(v[n]) == isDigit(v[0]) {
		n++
	}
	part = v[:n]
	if trimmed := strings.TrimLeft(part, "0"); isDigit(v[0]) && trimmed != "" {
		part = trimmed
	}
	return part, v[n:]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
