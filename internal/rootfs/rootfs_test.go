package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree makes an image root beside a folder with a canary that no access may reach.
func tree(t *testing.T) (*Root, string) {
	t.Helper()
	base := t.TempDir()
	for _, d := range []string{"root/etc", "root/var", "outside"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(base, "outside/canary"), []byte("host"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := New(filepath.Join(base, "root"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, base
}

func link(t *testing.T, base, target, name string) {
	t.Helper()
	if err := os.Symlink(target, filepath.Join(base, "root", name)); err != nil {
		t.Fatal(err)
	}
}

func TestLinksStayInsideTheRoot(t *testing.T) {
	t.Parallel()
	r, base := tree(t)
	link(t, base, base+"/outside", "absolute")
	link(t, base, "../../../../../../../.."+base+"/outside", "climbing")
	link(t, base, "loop", "loop")
	link(t, base, "/var/target", "etc/dangling")
	for _, p := range []string{"/absolute/canary", "/climbing/canary", "/loop/x", "/../outside/canary"} {
		if data, err := r.ReadFile(p); err == nil {
			t.Errorf("ReadFile(%s) reached %q", p, data)
		}
		if err := r.WriteFile(p, []byte("image"), 0o644); err == nil {
			t.Errorf("WriteFile(%s) succeeded", p)
		}
		if err := r.Remove(p); err != nil && errors.Is(err, fs.ErrPermission) {
			t.Errorf("Remove(%s): %v", p, err)
		}
	}
	if got, _ := os.ReadFile(filepath.Join(base, "outside/canary")); string(got) != "host" {
		t.Errorf("the host's file now holds %q", got)
	}
	if err := r.WriteFile("/etc/dangling", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(base, "root/var/target")); string(got) != "x" {
		t.Errorf("a dangling link inside the root was not followed: %q", got)
	}
}

func TestWriteFileKeepsModeOfExistingFile(t *testing.T) {
	t.Parallel()
	r, base := tree(t)
	old := filepath.Join(base, "root/etc/shadow")
	if err := os.WriteFile(old, []byte("long old content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteFile("/etc/shadow", []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	fi, _ := os.Stat(old)
	got, _ := os.ReadFile(old)
	if fi.Mode().Perm() != 0o600 || string(got) != "new" {
		t.Errorf("mode %v, content %q", fi.Mode(), got)
	}
	if err := r.WriteFile("/etc/new", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if fi, _ := r.Stat("/etc/new"); fi.Mode().Perm() != 0o666 {
		t.Errorf("the umask leaked into a new file: %v", fi.Mode())
	}
}

func TestAppendLinesIsIdempotent(t *testing.T) {
	t.Parallel()
	r, _ := tree(t)
	if err := r.WriteFile("/etc/list", []byte("a\nab"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.AppendLines("/etc/list", 0o644, "b", "a"); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := r.ReadFile("/etc/list"); string(got) != "a\nab\nb\n" {
		t.Errorf("got %q", got)
	}
}

func TestMkdirAllRemoveRename(t *testing.T) {
	t.Parallel()
	r, base := tree(t)
	link(t, base, "/var", "lib")
	if err := r.MkdirAll("/lib/a/b", 0o750); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(filepath.Join(base, "root/var/a/b"))
	if err != nil || fi.Mode().Perm() != 0o750 {
		t.Fatalf("%v %v", fi, err)
	}
	if err := r.WriteFile("/lib/a/b/f", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.Rename("/lib/a/b/f", "/etc/g"); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/lib/a/b", "/etc/g", "/no/such/file"} {
		if err := r.Remove(p); err != nil {
			t.Errorf("Remove(%s): %v", p, err)
		}
		if r.Exists(p) {
			t.Errorf("%s is still there", p)
		}
	}
}

func TestReadDirLooksInsideTheRoot(t *testing.T) {
	t.Parallel()
	r, _ := tree(t)
	if err := r.WriteFile("/etc/only-in-the-image", []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	entries, err := r.ReadDir("/etc")
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	if fi, err := entries[0].Info(); err != nil || fi.Size() != 5 {
		t.Errorf("Info: %v, %v", fi, err)
	}
}

// TestOnlyFilesAndFolders: an image must not make the program wait for a pipe, or fill its memory.
func TestOnlyFilesAndFolders(t *testing.T) {
	t.Parallel()
	r, base := tree(t)
	if err := errors.Join(unix.Mkfifo(filepath.Join(base, "root/etc/pipe"), 0o600), unix.Mknod(filepath.Join(base, "root/etc/socket"), unix.S_IFSOCK|0o600, 0)); err != nil {
		t.Fatal(err)
	}
	huge, err := os.Create(filepath.Join(base, "root/etc/huge"))
	if err != nil {
		t.Fatal(err)
	}
	defer huge.Close()
	if err := huge.Truncate(Text.limit + 1); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"/etc/pipe": "neither a file nor a folder", "/etc/socket": "neither a file nor a folder", "/etc/huge": "it has more than the 16 MiB"} {
		if _, err := r.ReadFile(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ReadFile(%s): %v", name, err)
		}
	}
	if err := r.WriteFile("/etc/pipe", nil, 0o600); err == nil {
		t.Error("wrote to a pipe")
	}
	if fi, err := r.Stat("/etc/pipe"); err != nil || fi.Mode()&fs.ModeNamedPipe == 0 {
		t.Errorf("Stat: %v, %v", fi, err)
	}
}

// TestFilesOfTheKernel: an image's link into /proc is followed inside the image, where the worker's
// own /proc is mounted.
func TestFilesOfTheKernel(t *testing.T) {
	t.Parallel()
	r, err := New("/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, name := range []string{"/proc/self/environ", "/sys/kernel/uevent_seqnum", "/proc/sys/kernel"} {
		if _, err := r.ReadFile(name); err == nil || !strings.Contains(err.Error(), "a file of the kernel") {
			t.Errorf("ReadFile(%s): %v", name, err)
		}
	}
}

// TestSub: a folder that is a root of its own says where it lies on the host, as any root does.
func TestSub(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := root.MkdirAll("/a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	sub, err := root.Sub("a/b")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if want := filepath.Join(dir, "a/b"); sub.Dir() != want {
		t.Errorf("it lies in %s, want %s", sub.Dir(), want)
	}
	if err := sub.WriteFile("/x", []byte("y"), 0o644); err != nil || !root.Exists("/a/b/x") {
		t.Errorf("it is another folder: %v", err)
	}
}
