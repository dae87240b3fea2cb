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

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestWritingReplaces: a program that has the old file open, and another name of it, keep the old content.
func TestWritingReplaces(t *testing.T) {
	t.Parallel()
	r, base := tree(t)
	name := filepath.Join(base, "root/etc/file")
	must(t, os.WriteFile(name, []byte("old"), 0o640))
	must(t, os.Link(name, filepath.Join(base, "outside/twin")))
	must(t, unix.Setxattr(name, "user.note", []byte("kept"), 0))
	if err := r.WriteFile("/etc/file", []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(base, "outside/twin")); string(got) != "old" {
		t.Errorf("another name of the file holds %q", got)
	}
	note := make([]byte, 8)
	n, err := unix.Getxattr(name, "user.note", note)
	if fi, _ := os.Stat(name); fi.Mode() != 0o640 || err != nil || string(note[:n]) != "kept" {
		t.Errorf("mode %v, attribute %q, %v", fi.Mode(), note[:max(n, 0)], err)
	}
	entries, err := os.ReadDir(filepath.Join(base, "root/etc"))
	if err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
}

// TestWhatIsWrittenTo has everything but a file where one is written.
func TestWhatIsWrittenTo(t *testing.T) {
	t.Parallel()
	r, base := tree(t)
	etc := filepath.Join(base, "root/etc") + "/"
	canary := filepath.Join(base, "outside/canary")
	must(t, unix.Mkfifo(etc+"pipe", 0o600))
	must(t, unix.Mknod(etc+"socket", unix.S_IFSOCK|0o600, 0))
	must(t, os.Mkdir(etc+"folder", 0o755))
	must(t, os.Mkdir(etc+"new\nline", 0o755))
	for name, target := range map[string]string{
		"loop": "loop", "long": strings.Repeat("x/", 2000), "out": canary, "up": "../../../../../../../.." + canary, "root": "/", "dots": "..", "here": ".", "pipes": "pipe",
		"through": "folder/../../../../../.." + canary, "chain": "out", "slash": "folder/",
	} {
		must(t, os.Symlink(target, etc+name))
	}
	for _, name := range []string{
		"pipe", "socket", "folder", "loop", "long", "out", "up", "root", "dots", "here", "pipes", "through", "chain", "slash", "..", ".", "", "folder/..", "pipe/x",
		strings.Repeat("a", 300), strings.Repeat("a/", 3000), "no/such/folder",
	} {
		if err := r.WriteFile("/etc/"+name, []byte("image"), 0o600); err == nil {
			t.Errorf("%q was written", name)
		}
		if f, err := r.Open("/etc/"+name, os.O_WRONLY|os.O_TRUNC, 0); err == nil {
			t.Errorf("%q was emptied", name)
			f.Close()
		}
		if f, err := r.Create("/etc/"+name, 0o600); err == nil {
			t.Errorf("%q was made", name)
			f.Close()
		}
	}
	must(t, r.WriteFile("/etc/new\nline/\n", []byte("x"), 0o600))
	must(t, os.Symlink("/etc/folder/../made", etc+"leads"))
	must(t, r.WriteFile("/etc/leads", []byte("through"), 0o600))
	if got, err := os.ReadFile(etc + "made"); err != nil || string(got) != "through" {
		t.Errorf("a link to a file that is not there yet: %q, %v", got, err)
	}
	if got, err := os.ReadFile(canary); err != nil || string(got) != "host" {
		t.Errorf("the host's file holds %q, %v", got, err)
	}
}

// TestMagicLinks: the kernel's own links lead out of any root.
func TestMagicLinks(t *testing.T) {
	t.Parallel()
	r, err := New("/")
	must(t, err)
	defer r.Close()
	dir := t.TempDir()
	for _, target := range []string{"/proc/self/comm", "/proc/self/cwd/rootfs.go", "/proc/self/root" + dir + "/x", "/dev/fd/0", "/proc/self/exe"} {
		name := filepath.Join(dir, "link")
		must(t, os.RemoveAll(name))
		must(t, os.Symlink(target, name))
		if err := r.WriteFile(name, []byte("x"), 0o600); err == nil {
			t.Errorf("wrote through %s", target)
		}
		if _, err := r.ReadFile(name); err == nil && target != "/proc/self/exe" {
			t.Errorf("read through %s", target)
		}
	}
}

func TestCreateNeverReplaces(t *testing.T) {
	t.Parallel()
	r, base := tree(t)
	link(t, base, base+"/outside/new", "etc/dangling")
	for _, name := range []string{"/etc/dangling", "/etc"} {
		if _, err := r.Create(name, 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f, err := r.Create("/etc/new", 0o666)
	must(t, err)
	defer f.Close()
	if fi, _ := f.Stat(); fi.Mode() != 0o666 {
		t.Errorf("mode %v", fi.Mode())
	}
}

// TestRemoveAllFollowsNothing deletes a tree with links to what must stay.
func TestRemoveAllFollowsNothing(t *testing.T) {
	t.Parallel()
	r, base := tree(t)
	must(t, os.MkdirAll(filepath.Join(base, "root/etc/a/b"), 0o755))
	must(t, r.WriteFile("/var/stays", nil, 0o600))
	link(t, base, "/var", "etc/a/b/inside")
	link(t, base, base+"/outside", "etc/a/outside")
	must(t, r.RemoveAll("/etc/a"))
	if r.Exists("/etc/a") || !r.Exists("/var/stays") {
		t.Error("too little or too much was deleted")
	}
	if _, err := os.Stat(filepath.Join(base, "outside/canary")); err != nil {
		t.Error(err)
	}
	must(t, r.RemoveAll("/etc/nothing"))
}

func TestWalkFollowsNothing(t *testing.T) {
	t.Parallel()
	r, base := tree(t)
	must(t, r.MkdirAll("/etc/a/b", 0o755))
	must(t, r.MkdirAll("/etc/skipped/c", 0o755))
	link(t, base, "/", "etc/a/root")
	var got []string
	must(t, r.Walk("/etc", func(name string, e fs.DirEntry) error {
		got = append(got, name)
		if e.Name() == "skipped" {
			return fs.SkipDir
		}
		return nil
	}))
	if want := "/etc/a /etc/a/b /etc/a/root /etc/skipped"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
