//go:build root

package filetree

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// split makes a folder whose folder boot is a filesystem of its own.
func split(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/boot", 0o755))
	must(t, unix.Mount("tmpfs", dir+"/boot", "tmpfs", 0, "mode=755"))
	t.Cleanup(func() { must(t, unix.Unmount(dir+"/boot", 0)) })
	return dir
}

// TestHardLinksAcrossFilesystems: names of one file that come to lie on two filesystems are two files, and
// those on one stay one.
func TestHardLinksAcrossFilesystems(t *testing.T) {
	src, dst := t.TempDir(), split(t)
	must(t, os.MkdirAll(src+"/boot/d", 0o755))
	must(t, os.Mkdir(src+"/usr", 0o755))
	must(t, os.WriteFile(src+"/usr/config", []byte("content"), 0o640))
	for _, name := range []string{"/boot/config", "/boot/d/config", "/usr/other"} {
		must(t, os.Link(src+"/usr/config", src+name))
	}
	must(t, os.Symlink("x", src+"/usr/link"))
	must(t, os.Link(src+"/usr/link", src+"/boot/link"))
	var parted []string
	o := Options{Tops: []string{"", "boot"}, Parted: func(rel string) { parted = append(parted, rel) }}
	must(t, Copy(t.Context(), open(t, src), open(t, dst), o))
	must(t, Compare(t.Context(), open(t, src), open(t, dst), o))
	if slices.Sort(parted); !slices.Equal(parted, []string{"usr/config", "usr/link"}) {
		t.Errorf("reported: %q", parted)
	}
	number := func(name string) uint64 {
		var st unix.Stat_t
		must(t, unix.Lstat(dst+name, &st))
		return st.Ino
	}
	if number("/boot/config") != number("/boot/d/config") || number("/usr/config") != number("/usr/other") {
		t.Error("names on one filesystem are those of two files")
	}
	use, err := Measure(t.Context(), open(t, src), o)
	must(t, err)
	if use["boot"].Bytes < 4096 || use[""].Bytes < use["boot"].Bytes {
		t.Errorf("a file on two filesystems takes up space once: %+v", use)
	}
	must(t, os.Remove(dst+"/usr/other"))
	must(t, os.WriteFile(dst+"/usr/other", []byte("content"), 0o640))
	if err := Compare(t.Context(), open(t, src), open(t, dst), o); err == nil {
		t.Error("a hard link that was lost on one filesystem is not found")
	}
}

// TestFlagsAreKept: a copy is immutable or append-only where the original is, and that is a difference.
func TestFlagsAreKept(t *testing.T) {
	src := source(t)
	must(t, os.Mkdir(src+"/fixed", 0o755))
	must(t, os.WriteFile(src+"/fixed/file", []byte("x"), 0o600))
	must(t, os.Link(src+"/setuid", src+"/d/setuid"))
	flags := map[string]int{"setuid": unix.STATX_ATTR_IMMUTABLE, "empty": unix.STATX_ATTR_APPEND, "fixed": unix.STATX_ATTR_IMMUTABLE, "fixed/file": fixed}
	for _, name := range []string{"fixed/file", "fixed", "setuid", "empty"} {
		must(t, setFlags(open(t, src), name, flags[name]))
	}
	defer func() { must(t, Loosen(t.Context(), open(t, src))) }()
	dst := filepath.Join(t.TempDir(), "dst")
	must(t, os.Mkdir(dst, 0o700))
	defer func() { must(t, Loosen(t.Context(), open(t, dst))) }()
	must(t, Copy(t.Context(), open(t, src), open(t, dst), Options{}))
	must(t, Compare(t.Context(), open(t, src), open(t, dst), Options{}))
	for name, want := range flags {
		dir, err := openFolder(open(t, dst), parent(name))
		must(t, err)
		if got, err := dir.flags(filepath.Base(name)); err != nil || got != want {
			t.Errorf("%s: %#x instead of %#x, %v", name, got, want, err)
		}
		dir.close()
	}
	must(t, setFlags(open(t, dst), "empty", 0))
	if err := Compare(t.Context(), open(t, src), open(t, dst), Options{}); err == nil || !strings.Contains(err.Error(), "flags") {
		t.Errorf("a lost flag: %v", err)
	}
}
