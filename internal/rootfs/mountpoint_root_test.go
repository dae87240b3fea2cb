//go:build root

package rootfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imagecustomizer/test/rootns"
)

func TestMain(m *testing.M) { os.Exit(rootns.Main(m.Run)) }

// TestMountPointsStay: folders on the way to a mount point become links elsewhere after it was found.
func TestMountPointsStay(t *testing.T) {
	r, base := tree(t)
	must(t, r.MkdirAll("/var/a/b", 0o755))
	link(t, base, "/var/a", "etc/way")
	p, err := r.MountPoint("/etc/way/b")
	must(t, err)
	must(t, p.On(func(target string) error { return unix.Mount("x", target, "tmpfs", 0, "") }))
	other := filepath.Join(base, "outside/b")
	must(t, os.Mkdir(other, 0o755))
	must(t, unix.Mount("y", other, "tmpfs", 0, ""))
	defer func() { must(t, unix.Unmount(other, 0)) }()

	must(t, r.Remove("/etc/way"))
	link(t, base, base+"/outside", "etc/way")
	must(t, r.Rename("/var/a", "/var/moved"))
	link(t, base, base+"/outside", "var/a")
	if got, want := Shown(p.Path()), filepath.Join(base, "root/var/moved/b"); got != want {
		t.Errorf("shown as %s, want %s", got, want)
	}
	must(t, unix.Unmount(p.Path(), unix.UMOUNT_NOFOLLOW))
	must(t, p.Close())
	var st unix.Statfs_t
	must(t, unix.Statfs(other, &st))
	if st.Type != unix.TMPFS_MAGIC {
		t.Error("what is mounted elsewhere was unmounted")
	}
	must(t, unix.Unmount(other, unix.UMOUNT_NOFOLLOW))
	must(t, unix.Mount("y", other, "tmpfs", 0, ""))
}

// TestMountPointsAreNoLinks: what was a folder becomes a link before something is mounted there.
func TestMountPointsAreNoLinks(t *testing.T) {
	r, base := tree(t)
	must(t, r.MkdirAll("/var/a", 0o755))
	p, err := r.MountPoint("/var/a")
	must(t, err)
	defer p.Close()
	must(t, r.Remove("/var/a"))
	link(t, base, base+"/outside", "var/a")
	if err := p.On(func(string) error { t.Error("mounted"); return nil }); err == nil {
		t.Error("a link was taken for a mount point")
	}
	link(t, base, base+"/outside", "var/out")
	for _, name := range []string{"/var/out", "/var/out/canary", "/var/nothing"} {
		if p, err := r.MountPoint(name); err == nil {
			t.Errorf("%s is a mount point", name)
			p.Close()
		}
	}
}

// TestNothingIsMountedOver: a file that another is mounted over is not replaced.
func TestNothingIsMountedOver(t *testing.T) {
	r, base := tree(t)
	must(t, r.WriteFile("/etc/resolv.conf", []byte("image"), 0o644))
	name := filepath.Join(base, "root/etc/resolv.conf")
	must(t, unix.Mount(filepath.Join(base, "outside/canary"), name, "", unix.MS_BIND, ""))
	err := r.WriteFile("/etc/resolv.conf", []byte("new"), 0o644)
	must(t, unix.Unmount(name, 0))
	if err == nil {
		t.Error("the mount was written through or replaced")
	}
	if got, _ := os.ReadFile(filepath.Join(base, "outside/canary")); string(got) != "host" {
		t.Errorf("the host's file holds %q", got)
	}
	if entries, _ := os.ReadDir(filepath.Dir(name)); len(entries) != 1 {
		t.Errorf("left %v", entries)
	}
}

// TestWithoutLinks: what fills a tree follows none of the links that it makes there, on any filesystem of it.
func TestWithoutLinks(t *testing.T) {
	_, base := tree(t)
	root := filepath.Join(base, "root")
	must(t, unix.Mount("x", root, "tmpfs", 0, ""))
	defer func() { must(t, unix.Unmount(root, unix.MNT_DETACH)) }()
	must(t, os.Mkdir(root+"/sub", 0o755))
	must(t, unix.Mount("y", root+"/sub", "tmpfs", 0, ""))
	r, err := New(root)
	must(t, err)
	defer r.Close()
	for _, dir := range []string{root, root + "/sub"} {
		must(t, os.Symlink(base+"/outside", dir+"/link"))
		must(t, r.WithoutLinks(func() error {
			if err := os.WriteFile(dir+"/link/new", nil, 0o600); err == nil {
				t.Errorf("a link in %s was followed", dir)
			}
			return nil
		}))
		if _, err := os.ReadFile(dir + "/link/canary"); err != nil {
			t.Errorf("links are not followed afterwards: %v", err)
		}
	}
}

// TestImmutable: a file that must not change is refused with a hint.
func TestImmutable(t *testing.T) {
	r, base := tree(t)
	must(t, r.WriteFile("/etc/fixed", []byte("old"), 0o644))
	f, err := os.Open(filepath.Join(base, "root/etc/fixed"))
	must(t, err)
	defer f.Close()
	set := func(flags int) error { return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags) }
	const immutable = 0x10 // FS_IMMUTABLE_FL
	if err := set(immutable); err != nil {
		t.Fatalf("this filesystem has no immutable files: %v", err)
	}
	err = r.WriteFile("/etc/fixed", []byte("new"), 0o644)
	must(t, set(0))
	if err == nil || !strings.Contains(err.Error(), "/etc/fixed is immutable") {
		t.Errorf("an immutable file: %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Join(base, "root/etc")); len(entries) != 1 {
		t.Errorf("left %v", entries)
	}
}
