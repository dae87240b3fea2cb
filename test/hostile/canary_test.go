//go:build root

package hostile

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const secret = "canary-of-the-host"

// host is a folder of this machine that no image may reach, and the program's own file.
type host struct{ dir, file, folder, absent, binary string }

func newHost(t *testing.T, binary string) host {
	t.Helper()
	dir := t.TempDir()
	h := host{dir, dir + "/file", dir + "/folder", dir + "/absent", binary}
	write(t, h.file, secret+"\n")
	write(t, h.folder+"/"+secret, secret+"\n")
	return h
}

// state is everything that an image must not change: names, types, modes, owners, times, contents,
// attributes.
func (h host) state(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	look := func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		if err != nil {
			return err
		}
		attributes := make([]byte, 4096)
		n, _ := unix.Llistxattr(path, attributes)
		fmt.Fprintf(&b, "%s %o %d:%d %d %v %q\n", path, st.Mode, st.Uid, st.Gid, st.Size, st.Ctim, attributes[:max(n, 0)])
		return nil
	}
	if err := filepath.WalkDir(h.dir, look); err != nil {
		t.Fatal(err)
	}
	if err := look(h.binary, nil, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestCanaries changes what the suite watches: each change must show.
func TestCanaries(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "program")
	write(t, binary, "program")
	for name, touch := range map[string]func(h host) error{
		"a file changes": func(h host) error { return os.WriteFile(h.file, []byte("evil"), 0o644) },
		"a file comes":   func(h host) error { return os.WriteFile(h.folder+"/evil", nil, 0o644) },
		"a folder comes": func(h host) error { return os.Mkdir(h.absent, 0o755) },
		"a file goes":    func(h host) error { return os.Remove(h.file) },
		"mode":           func(h host) error { return os.Chmod(h.binary, 0o4755) },
		"attribute":      func(h host) error { return unix.Setxattr(h.binary, "trusted.evil", []byte("x"), 0) },
		"owner":          func(h host) error { return os.Chown(h.binary, 1, 1) },
	} {
		h := newHost(t, binary)
		before := h.state(t)
		if err := touch(h); err != nil {
			t.Fatal(err)
		}
		if h.state(t) == before {
			t.Errorf("nothing is seen when this happens: %s", name)
		}
	}
}

// TestImpostorEscapes lets the impostor loose in a plain chroot, where it gets at the canary.
func TestImpostorEscapes(t *testing.T) {
	t.Parallel()
	h, dir := newHost(t, "/proc/self/exe"), t.TempDir()
	build(t, dir+"/impostor", "./impostor", "amd64")
	write(t, dir+"/.impostor", "escapes\n"+h.dir+"\n")
	write(t, dir+"/proc/none", "")
	script := `mount -t proc proc "$1/proc" && chroot "$1" /impostor`
	if text, err := exec.Command("unshare", "-m", "-p", "-f", "sh", "-c", script, "sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if _, err := os.Stat(h.dir + "/evil"); err != nil {
		t.Errorf("it did not get out of a chroot: it shows nothing (%v)", err)
	}
}
