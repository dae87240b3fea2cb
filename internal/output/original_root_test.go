//go:build root

package output

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// acl is a list of who may do what (acl(5)), as the kernel takes it: rw for the owner and user 7, r for the group, no one else.
var acl = "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x06\x00\x07\x00\x00\x00" + "\x04\x00\x04\x00\xff\xff\xff\xff" + "\x10\x00\x06\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"

// TestAttributesAreKept: owner, permissions, access control list, label and other attributes, in a directory that gives
// new files others.
func TestAttributesAreKept(t *testing.T) {
	t.Parallel()
	path := oldImage(t)
	want := map[string][]byte{
		"user.note": []byte("mine"), "trusted.note": []byte("ours"), "security.selinux": []byte("system_u:object_r:virt_image_t:s0\x00"), "system.posix_acl_access": []byte(acl),
	}
	err := errors.Join(os.Chown(path, 1234, 2345), unix.Setxattr(filepath.Dir(path), "system.posix_acl_default", []byte(strings.Replace(acl, "\x07", "\x08", 1)), 0))
	for name, value := range want {
		err = errors.Join(err, unix.Setxattr(path, name, value, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := replace(path, ".orig", "new"); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := attributes(f)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	var st, old unix.Stat_t
	if err := errors.Join(unix.Stat(path, &st), unix.Stat(path+".orig", &old)); err != nil || st.Uid != 1234 || st.Gid != 2345 || st.Mode != old.Mode {
		t.Errorf("%+v, %v", st, err)
	}
	wantText(t, path, "new")

	plain := oldImage(t) // where the directory would give it a list that it did not have
	if err := unix.Setxattr(filepath.Dir(plain), "system.posix_acl_default", []byte(acl), 0); err != nil {
		t.Fatal(err)
	}
	if err := replace(plain, "", "new"); err != nil {
		t.Fatal(err)
	}
	g, err := os.Open(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if got, err := attributes(g); err != nil || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestOriginalOfTheKernel(t *testing.T) {
	t.Parallel()
	run := func(args ...string) string {
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v, %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	for name, c := range map[string]struct {
		use  func(path string) (end func())
		want string
	}{
		"a loop device": {func(p string) func() {
			device := run("losetup", "-f", "--show", p)
			return func() { run("losetup", "-d", device) }
		}, "attached to /dev/loop"},
		"a mount of the file": {func(p string) func() {
			run("mount", "--bind", p, p)
			return func() { run("umount", p) }
		}, "mount its directory"},
		"immutable": {func(p string) func() {
			run("chattr", "+i", p)
			return func() { run("chattr", "-i", p) }
		}, "chattr -i"},
		"one that is not seen": {func(p string) func() { // in a namespace of processes of its own, /proc of which is not ours
			end := holder(t, "x", "unshare", "-pf", "--mount-proc", "sh", "-c", "exec 3>>"+p+"; read x; echo $x; read x")
			return end
		}, "in use"},
	} {
		path := oldImage(t)
		end := c.use(path)
		err := replace(path, "", "new")
		end()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		wantText(t, path, "old ")
		if err := replace(path, "", "new"); err != nil {
			t.Errorf("%s, afterwards: %v", name, err)
		}
	}
}

// TestLeaseTellsOfWriters: what no file of /proc and /sys tells of is found too.
func TestLeaseTellsOfWriters(t *testing.T) {
	t.Parallel()
	path := oldImage(t)
	o, err := OpenOriginal(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if o.written() {
		t.Error("nobody writes")
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !o.written() {
		t.Error("who writes is not found")
	}
	f.Close()
}
