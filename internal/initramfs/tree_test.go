package initramfs

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTreeUnpacks has cpio, an independent program, unpack what was written.
func TestTreeUnpacks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"etc/fstab": "x", "boot/vmlinuz": "x", "etc/a": "four", "etc/b": "fives", "empty": ""} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{os.Link(dir+"/etc/a", dir+"/linked"), os.Symlink("etc/a", dir+"/sym")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	image, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	tree := Tree{Dir: dir, Exclude: []string{"etc/fstab", "boot"}, Links: map[string]string{"init": "/lib/systemd/systemd"}}
	if err := tree.WriteImage(context.Background(), "gzip", image); err != nil {
		t.Fatal(err)
	}
	out := unpack(t, image.Name())
	got, err := exec.Command("sh", "-c", "cd "+out+" && find . | sort && cat etc/a etc/b linked && readlink init sym && stat -c '%a %h' linked etc/b").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	want := ".\n./empty\n./etc\n./etc/a\n./etc/b\n./init\n./linked\n./sym\nfourfivesfour/lib/systemd/systemd\netc/a\n640 2\n640 1\n"
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
}

func unpack(t *testing.T, image string) string {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	cmd := exec.Command("cpio", "-id", "--quiet")
	cmd.Dir, cmd.Stdin = out, bytes.NewReader(data)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return strings.TrimSuffix(out, "/")
}
