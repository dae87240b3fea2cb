//go:build root

package filetree

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/rootfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *rootfs.Root {
	t.Helper()
	r, err := rootfs.New(dir)
	must(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// capability is a security.capability of revision 2 with cap_net_raw, effective.
var capability = []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// acl is a system.posix_acl_access: user::rw-, user:1000:r--, group::r--, mask::r--, other::---.
var acl = []byte{
	2, 0, 0, 0, 1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 4, 0, 0xe8, 3, 0, 0, 4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
	0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, 0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
}

const (
	holeStart = 1 << 20
	holeSize  = 4 << 20
)

// source makes a tree with one of everything.
func source(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "src")
	must(t, os.MkdirAll(dir+"/d/sub", 0o755))
	must(t, os.WriteFile(dir+"/d/file", []byte("content"), 0o640))
	must(t, os.Link(dir+"/d/file", dir+"/d/sub/other-name"))
	must(t, os.WriteFile(dir+"/setuid", []byte("x"), 0o755))
	must(t, os.Chown(dir+"/setuid", 12, 34))
	must(t, os.Chmod(dir+"/setuid", os.ModeSetuid|os.ModeSticky|0o755))
	must(t, unix.Setxattr(dir+"/setuid", "security.capability", capability, 0))
	must(t, unix.Setxattr(dir+"/setuid", "user.note", []byte("a\x00b"), 0))
	must(t, unix.Setxattr(dir+"/d/file", "system.posix_acl_access", acl, 0))
	must(t, os.Symlink("/nowhere", dir+"/link"))
	must(t, os.Lchown(dir+"/link", 7, 8))
	must(t, unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, unix.Mkfifo(dir+"/fifo", 0o600))
	must(t, unix.Mknod(dir+"/socket", unix.S_IFSOCK|0o777, 0))
	must(t, os.WriteFile(dir+"/empty", nil, 0o600))
	must(t, os.WriteFile(dir+"/zeros", make([]byte, 3<<20), 0o600)) // no hole
	must(t, os.WriteFile(dir+"/holes", []byte("start"), 0o600))
	f, err := os.OpenFile(dir+"/holes", os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("end"), holeStart+holeSize)
	must(t, err)
	must(t, f.Truncate(holeStart+2*holeSize))
	must(t, f.Close())
	must(t, os.WriteFile(dir+"/n\xffot utf-8\n", []byte("x"), 0o600))
	old := time.Unix(1234567890, 123456789)
	for _, p := range []string{"/d/file", "/setuid", "/d/sub", "/d", "/null", "/holes", ""} {
		must(t, os.Chtimes(dir+p, old, old))
	}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, dir+"/link", []unix.Timespec{{Sec: 5, Nsec: 6}, {Sec: 7, Nsec: 8}}, unix.AT_SYMLINK_NOFOLLOW))
	return dir
}

func copied(t *testing.T, src string) string {
	t.Helper()
	dst := filepath.Join(t.TempDir(), "dst")
	must(t, os.Mkdir(dst, 0o700))
	must(t, Copy(t.Context(), open(t, src), open(t, dst), Options{}))
	return dst
}

func TestCopyIsFaithful(t *testing.T) {
	t.Parallel()
	src := source(t)
	dst := copied(t, src)
	must(t, Compare(t.Context(), open(t, src), open(t, dst), Options{}))

	var st unix.Stat_t
	must(t, unix.Lstat(dst+"/holes", &st))
	if st.Blocks*512 > holeSize {
		t.Errorf("the holes were filled: %d bytes on the disk", st.Blocks*512)
	}
	must(t, unix.Lstat(dst+"/zeros", &st))
	if st.Blocks*512 < st.Size {
		t.Errorf("zeros became a hole: %d bytes on the disk", st.Blocks*512)
	}
	must(t, unix.Lstat(dst+"/setuid", &st))
	if st.Mode != unix.S_IFREG|0o5755 || st.Uid != 12 || st.Gid != 34 || st.Mtim != (unix.Timespec{Sec: 1234567890, Nsec: 123456789}) {
		t.Errorf("got %+v", st)
	}
	var a, b unix.Stat_t
	must(t, unix.Lstat(dst+"/d/file", &a))
	must(t, unix.Lstat(dst+"/d/sub/other-name", &b))
	if a.Ino != b.Ino {
		t.Error("the hard link became a file of its own")
	}
	value := make([]byte, 64)
	n, err := unix.Getxattr(dst+"/setuid", "security.capability", value)
	if err != nil || string(value[:n]) != string(capability) {
		t.Errorf("capability %x, %v", value[:max(n, 0)], err)
	}
}

// TestCompareFindsEveryDifference changes one thing of a copy that passes.
func TestCompareFindsEveryDifference(t *testing.T) {
	t.Parallel()
	src := source(t)
	for what, change := range map[string]func(dir string) error{
		"mode":         func(d string) error { return os.Chmod(d+"/d/sub", 0o700) },
		"owner":        func(d string) error { return os.Chown(d+"/empty", 1, 0) },
		"group":        func(d string) error { return os.Lchown(d+"/link", 7, 9) },
		"a nanosecond": func(d string) error { return os.Chtimes(d+"/d", time.Time{}, time.Unix(1234567890, 123456788)) },
		"one byte": func(d string) error {
			st, err := os.Stat(d + "/zeros")
			if err != nil {
				return err
			}
			f, err := os.OpenFile(d+"/zeros", os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer os.Chtimes(d+"/zeros", time.Time{}, st.ModTime())
			defer f.Close()
			_, err = f.WriteAt([]byte{1}, 3<<20-1)
			return err
		},
		"size": func(d string) error { return os.Truncate(d+"/holes", 5) },
		"a hole": func(d string) error {
			st, err := os.Stat(d + "/zeros")
			if err != nil {
				return err
			}
			f, err := os.OpenFile(d+"/zeros", os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer os.Chtimes(d+"/zeros", time.Time{}, st.ModTime())
			defer f.Close()
			return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 1<<20, 1<<20)
		},
		"a file too few":  func(d string) error { return os.Remove(d + "/fifo") },
		"a file too many": func(d string) error { return os.WriteFile(d+"/new", nil, 0o600) },
		"kind":            func(d string) error { os.Remove(d + "/fifo"); return os.WriteFile(d+"/fifo", nil, 0o600) },
		"link":            func(d string) error { os.Remove(d + "/link"); return os.Symlink("/elsewhere", d+"/link") },
		"device": func(d string) error {
			os.Remove(d + "/null")
			return unix.Mknod(d+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5)))
		},
		"attribute changed": func(d string) error { return unix.Setxattr(d+"/setuid", "user.note", []byte("c"), 0) },
		"attribute lost":    func(d string) error { return unix.Removexattr(d+"/setuid", "security.capability") },
		"attribute new":     func(d string) error { return unix.Setxattr(d+"/empty", "user.new", []byte("c"), 0) },
		"ACL":               func(d string) error { return unix.Removexattr(d+"/d/file", "system.posix_acl_access") },
		"hard link": func(d string) error {
			data, err := os.ReadFile(d + "/d/file")
			if err != nil {
				return err
			}
			os.Remove(d + "/d/sub/other-name")
			return os.WriteFile(d+"/d/sub/other-name", data, 0o640)
		},
	} {
		dst := copied(t, src)
		must(t, change(dst))
		if err := Compare(t.Context(), open(t, src), open(t, dst), Options{}); err == nil {
			t.Errorf("%s: not found", what)
		} else if !strings.Contains(err.Error(), "differs from the original") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWhatBelongsToFilesystems(t *testing.T) {
	t.Parallel()
	src, dst := t.TempDir(), t.TempDir()
	o := Options{Tops: []string{"", "boot"}, Skip: []string{"data"}, FAT: []string{"efi"}}
	must(t, os.Mkdir(src+"/lost+found", 0o700))
	must(t, os.MkdirAll(src+"/boot/lost+found", 0o700))
	must(t, os.WriteFile(src+"/boot/lost+found/#12", []byte("found"), 0o600))
	must(t, os.MkdirAll(src+"/usr/lost+found", 0o700))
	must(t, os.MkdirAll(src+"/data/secret", 0o700))
	must(t, os.MkdirAll(src+"/efi/EFI", 0o700))
	must(t, os.WriteFile(src+"/efi/EFI/x", []byte("x"), 0o600))
	must(t, os.Mkdir(dst+"/boot", 0o755))
	must(t, os.Mkdir(dst+"/boot/lost+found", 0o700))
	must(t, Copy(t.Context(), open(t, src), open(t, dst), o))
	must(t, Compare(t.Context(), open(t, src), open(t, dst), o))
	for path, want := range map[string]bool{"lost+found": false, "boot/lost+found/#12": true, "usr/lost+found": true, "data": true, "data/secret": false, "efi/EFI/x": true} {
		if _, err := os.Lstat(filepath.Join(dst, path)); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	must(t, os.Symlink("x", src+"/efi/link"))
	if err := Copy(t.Context(), open(t, src), open(t, t.TempDir()), o); err == nil || !strings.Contains(err.Error(), "FAT") {
		t.Errorf("a link on FAT: %v", err)
	}
	use, err := Measure(t.Context(), open(t, src), Options{Tops: []string{"", "boot"}, Skip: []string{"data"}})
	must(t, err)
	if use["boot"].Files != 3 || use["boot"].Bytes < 4096 || use[""].Files < 6 {
		t.Errorf("got %+v", use)
	}
}

// TestCopyFollowsNoLink: where a copy is to have a folder or file, there is a link to a folder of the host.
func TestCopyFollowsNoLink(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]string{"d": "", "d/sub": "", "d/file": "/canary", "setuid": "/canary", "null": "/canary", "link": "/canary", "d/sub/other-name": "/canary"} {
		src, dst, outside := source(t), t.TempDir(), t.TempDir()
		must(t, os.WriteFile(outside+"/canary", []byte("host"), 0o600))
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dst, name)), 0o755))
		must(t, os.Symlink(outside+target, filepath.Join(dst, name)))
		if err := Copy(t.Context(), open(t, src), open(t, dst), Options{}); err == nil {
			t.Errorf("%s: the link was taken for what it leads to", name)
		}
		if err := Compare(t.Context(), open(t, src), open(t, dst), Options{}); err == nil {
			t.Errorf("%s: no difference was found", name)
		}
		entries, _ := os.ReadDir(outside)
		var st unix.Stat_t
		must(t, unix.Stat(outside+"/canary", &st))
		if got, _ := os.ReadFile(outside + "/canary"); string(got) != "host" || len(entries) != 1 || st.Mode&0o7777 != 0o600 || st.Nlink != 1 {
			t.Errorf("%s: the host has %v, %q, mode %o", name, entries, got, st.Mode)
		}
	}
}
