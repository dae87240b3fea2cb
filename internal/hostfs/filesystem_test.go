package hostfs

import (
	"os"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
)

const table = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:20 / /tmp rw - tmpfs tmpfs rw
31 22 0:40 /@home /home rw - btrfs /dev/sdb1 rw
32 22 0:41 /@var /var/lib rw - btrfs /dev/sdb1 rw
33 22 0:42 / /mnt/a\040b rw - nfs4 server:/x rw
34 22 0:43 / /tmp rw - overlay overlay rw
35 22 0:44 / /t rw - tmpfs tmpfs rw
`

func TestFilesystemIsFoundByItsMountPoint(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/": "/ (ext4)", "/tmpx": "/ (ext4)", "/tmp": "/tmp (overlay)", "/tmp/a": "/tmp (overlay)",
		"/mnt/a b/c": "/mnt/a b (nfs4)", "/t/x": "/t (tmpfs)",
	} {
		if got := find(parse(t, table), path).String(); got != want {
			t.Errorf("%s lies on %s, want %s", path, got, want)
		}
	}
}

func TestSubvolumesShareTheirSpace(t *testing.T) {
	t.Parallel()
	home, lib, tmp := find(parse(t, table), "/home/x"), find(parse(t, table), "/var/lib/x"), find(parse(t, table), "/t/x")
	if !home.Same(lib) || home.Same(tmp) {
		t.Errorf("same: %v, %v", home.Same(lib), home.Same(tmp))
	}
}

func TestFilesystemOfAFolder(t *testing.T) {
	t.Parallel()
	f, err := FilesystemOf(t.TempDir())
	if err != nil || f.Mount == "" || f.Size <= 0 || f.Free > f.Size {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := FilesystemOf("/no such folder"); !os.IsNotExist(err) {
		t.Errorf("a missing folder: %v", err)
	}
}

func TestBlocksReservedForOthers(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]bool{
		"rw": false, "rw,resuid=0": false, "rw,resuid=1000": true, "rw,errors=remount-ro,resuid=65534,resgid=1": true, "rw,resgid=5": false,
	} {
		f := find(parse(t, "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 "+options+"\n"), "/tmp")
		if f.reserved != want {
			t.Errorf("%s: got %t", options, f.reserved)
		}
	}
}

func parse(t *testing.T, text string) []*mountinfo.Info {
	t.Helper()
	mounts, err := mountinfo.GetMountsFromReader(strings.NewReader(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return mounts
}
