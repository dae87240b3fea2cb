//go:build root

package output

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/sandbox"
)

// tmpfs makes a filesystem of that size that is mounted nowhere, and returns a path into it that
// works in this process. It is gone when the test ends.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	must := func(fd int, err error) int {
		if err != nil {
			t.Fatal("cannot make a tmpfs: ", err)
		}
		return fd
	}
	fsfd := must(unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC))
	defer unix.Close(fsfd)
	must(0, unix.FsconfigSetString(fsfd, "size", size))
	must(0, unix.FsconfigCreate(fsfd))
	mount := must(unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, 0))
	t.Cleanup(func() { unix.Close(mount) })
	return fmt.Sprintf("/proc/self/fd/%d", mount)
}

func TestFullFilesystem(t *testing.T) {
	t.Parallel()
	disk := sparseDisk(t, diskSize)
	for _, f := range wholeFormats() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			dir := tmpfs(t, "2M")
			write(t, dir+"/out", "old")
			p := create(t, dir+"/out")
			err := Write(context.Background(), f, diskformat.Raw(disk, diskSize), sandbox.Path(p.File()), nil)
			if err == nil {
				t.Fatal("a disk with 3 MiB of random bytes fits into 2 MiB")
			}
			for _, want := range []string{"cannot write the " + f.Name + " output: the filesystem of the output folder is full (", " of 2 MiB free)"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			p.Discard()
			wantTree(t, dir+"/.", map[string]string{"out": "old"})
		})
	}
}

func TestRoomyFilesystem(t *testing.T) {
	t.Parallel()
	disk := sparseDisk(t, diskSize)
	for _, f := range wholeFormats() {
		writeTo(t, f.Name, disk, tmpfs(t, "64M")+"/out")
	}
}

func TestChecksumOfAFullFilesystem(t *testing.T) {
	t.Parallel()
	dir := tmpfs(t, "64k")
	p := fill(t, create(t, dir+"/out"), strings.Repeat("x", 64<<10))
	if _, err := Checksum(context.Background(), p, nil); err == nil || !strings.Contains(err.Error(), "is full") {
		t.Errorf("error %v", err)
	}
	p.Discard()
	wantTree(t, dir+"/.", map[string]string{})
}

func TestSudoCallerOwnsOutputs(t *testing.T) {
	t.Setenv("SUDO_UID", "4711")
	t.Setenv("SUDO_GID", "4712")
	dir := t.TempDir()
	if err := Publish(fill(t, create(t, dir+"/new/out"), "x")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/new", "/new/out"} {
		var st unix.Stat_t
		if err := unix.Stat(dir+path, &st); err != nil || st.Uid != 4711 || st.Gid != 4712 {
			t.Errorf("%s belongs to %d:%d, %v", path, st.Uid, st.Gid, err)
		}
	}
}
