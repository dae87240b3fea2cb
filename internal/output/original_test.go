package output

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// oldImage makes a file that can be replaced.
func oldImage(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	write(t, path, strings.Repeat("old ", 4096))
	return path
}

// replace has another file take an image's place.
func replace(path, suffix, text string) error {
	o, err := OpenOriginal(path, suffix)
	if err != nil {
		return err
	}
	defer o.Close()
	p, err := Replace(o)
	if err != nil {
		return err
	}
	if _, err := p.File().WriteString(text); err != nil {
		return err
	}
	return Publish(p)
}

func wantText(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(got, []byte(want)) {
		t.Errorf("%s holds %.20q (%v), want %q", path, got, err, want)
	}
}

func TestOriginalIsReplaced(t *testing.T) {
	t.Parallel()
	path := oldImage(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Chmod(path, 0o620), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	if err := replace(link, ".orig", "new"); err != nil {
		t.Fatal(err)
	}
	wantText(t, path, "new")
	wantText(t, path+".orig", "old ")
	if fi, err := os.Lstat(link); err != nil || fi.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", fi, err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o620 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	if len(entries) != 2 {
		t.Errorf("left: %v", entries)
	}
}

// TestOriginalIsRefused: what would be harmed by it is not replaced.
func TestOriginalIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(path string) error
		suffix string
		want   string
	}{
		"two names":        {func(p string) error { return os.Link(p, p+"2") }, "", "hard links"},
		"three, one ours":  {func(p string) error { return errors.Join(os.Link(p, p+"2"), os.Link(p, p+".orig")) }, ".orig", "hard links"},
		"an older backup":  {func(p string) error { return os.WriteFile(p+".orig", nil, 0o600) }, ".orig", "never overwritten"},
		"a suffix's slash": {func(string) error { return nil }, "/x", "no part of a file's name"},
		"read-only":        {func(p string) error { return os.Chmod(p, 0o444) }, "", "chmod u+w"},
		"a pipe":           {func(p string) error { return errors.Join(os.Remove(p), unix.Mkfifo(p, 0o600)) }, "", "not a regular file"},
		"a directory":      {func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, "", "not a regular file"},
		"a device":         {func(p string) error { return errors.Join(os.Remove(p), os.Symlink("/dev/null", p)) }, "", "is a device"},
		"nothing":          {os.Remove, "", "no such file"},
	} {
		path := oldImage(t)
		if err := c.before(path); err != nil {
			t.Fatal(err)
		}
		err := replace(path, c.suffix, "new")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, is := errors.AsType[*Misuse](err); !is && name != "nothing" {
			t.Errorf("%s is no misuse: %v", name, err)
		}
	}
}

// TestOriginalOfAnEarlierRun: one that was cut off before its last rename left the backup's name, and can be repeated.
func TestOriginalOfAnEarlierRun(t *testing.T) {
	t.Parallel()
	path := oldImage(t)
	if err := os.Link(path, path+".orig"); err != nil {
		t.Fatal(err)
	}
	if err := replace(path, ".orig", "new"); err != nil {
		t.Fatal(err)
	}
	wantText(t, path, "new")
	wantText(t, path+".orig", "old ")
}

// holder is a program that has the image in use until it is told to end.
func holder(t *testing.T, ready string, args ...string) (end func()) {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, ready+"\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // it has answered
		t.Fatal(err)
	}
	return func() { in.Close(); _, _ = io.Copy(io.Discard, out); _ = c.Wait() }
}

func TestOriginalInUse(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"QEMU that writes":   {"qemu-io", "-f", "raw", "IMAGE"},
		"QEMU that reads":    {"qemu-io", "-r", "-f", "raw", "IMAGE"},
		"a shell that reads": {"sh", "-c", "exec 3<IMAGE; read x; echo $x; read x"},
		"one that appends":   {"sh", "-c", "exec 3>>IMAGE; read x; echo $x; read x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := oldImage(t)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "IMAGE", path)
			}
			end := holder(t, "length", args...)
			err := replace(path, "", "new")
			if err == nil || !strings.Contains(err.Error(), "is in use") {
				t.Error(err)
			}
			wantText(t, path, "old ")
			end()
			if err := replace(path, "", "new"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOriginalIsLocked: while a run works on it, no QEMU writes to it, and no other run begins.
func TestOriginalIsLocked(t *testing.T) {
	t.Parallel()
	path := oldImage(t)
	o, err := OpenOriginal(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("qemu-io", "-f", "raw", "-c", "write 0 512", path).CombinedOutput(); err == nil || !strings.Contains(string(out), "lock") {
		t.Errorf("QEMU wrote: %s, %v", out, err)
	}
	if out, err := exec.Command("qemu-img", "convert", "-f", "raw", "-O", "raw", path, path+".copy").CombinedOutput(); err != nil {
		t.Errorf("QEMU cannot read: %s, %v", out, err)
	}
	if _, err := OpenOriginal(path, ""); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second run: %v", err)
	}
	o.Close()
	if err := replace(path, "", "new"); err != nil {
		t.Error(err)
	}
}

// TestOriginalChanges: what happens to the image during the run keeps it from being replaced.
func TestOriginalChanges(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"written to": func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) },
		"replaced": func(p string) error {
			return errors.Join(os.WriteFile(p+"2", []byte("x"), 0o600), os.Rename(p+"2", p))
		},
		"removed":        os.Remove,
		"linked":         func(p string) error { return os.Link(p, p+"2") },
		"a backup comes": func(p string) error { return os.WriteFile(p+".orig", []byte("mine"), 0o600) },
	} {
		path := oldImage(t)
		o, err := OpenOriginal(path, ".orig")
		if err != nil {
			t.Fatal(err)
		}
		p, err := Replace(o)
		if err == nil {
			_, err = p.File().WriteString("new")
		}
		if err := errors.Join(err, change(path)); err != nil {
			t.Fatal(err)
		}
		if err := Publish(p); err == nil || !strings.Contains(err.Error(), "stays as it is") {
			t.Errorf("%s: %v", name, err)
		}
		o.Close()
		if text, _ := os.ReadFile(path); string(text) == "new" {
			t.Errorf("%s: the image was replaced", name)
		}
		if text, _ := os.ReadFile(path + ".orig"); name == "a backup comes" && string(text) != "mine" {
			t.Errorf("the backup is %q", text)
		}
	}
}
