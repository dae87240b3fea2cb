//go:build root

package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

// TestLostDataIsNoticed has the filesystem behind a loop device run full while data is written to the
// image, and become free again: nothing but Watched knows of the loss afterwards.
func TestLostDataIsNoticed(t *testing.T) {
	t.Parallel()
	for _, fs := range []string{"ext4", "xfs"} {
		for _, full := range []bool{false, true} {
			err := writeThrough(t, fs, full)
			if full && (err == nil || !strings.Contains(err.Error(), "could not be written") || !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EIO)) {
				t.Errorf("%s: data was lost, and this was said: %v", fs, err)
			}
			if !full && err != nil {
				t.Errorf("%s: nothing was lost, and this was said: %v", fs, err)
			}
		}
	}
}

func writeThrough(t *testing.T, fs string, full bool) error {
	t.Helper()
	host, dir := t.TempDir(), t.TempDir()
	if err := unix.Mount("host", host, "tmpfs", 0, "size=400m"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(host, unix.MNT_DETACH)
	image := filepath.Join(host, "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 512<<20); err != nil {
		t.Fatal(err)
	}
	if err := hostcmd.Unconfined("a test", "mkfs."+fs, "-q", image).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := AttachLoop(f, "/dev", 512)
	if err != nil {
		t.Fatal(err)
	}
	defer l.dev.Close()
	if err := MountVolume(l.Node(), dir, fs, "", false); err != nil {
		t.Fatal(err)
	}
	m, err := Watch(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(dir+"/file", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if full {
		fill(t, host)
	}
	if _, err := file.Write(make([]byte, 8<<20)); err != nil {
		t.Fatal(err)
	}
	_ = unix.SyncFileRange(int(file.Fd()), 0, 8<<20, unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
	file.Close()
	os.Remove(filepath.Join(host, "filler"))
	return m.Unmount()
}

func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, piece := range [][]byte{make([]byte, 1<<20), make([]byte, 4096)} {
		for err = nil; err == nil; {
			_, err = f.Write(piece)
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}
