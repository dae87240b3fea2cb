package pkgmgr

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/rootfs"

	"golang.org/x/sys/unix"
)

func testStore(t *testing.T) (*Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, filepath.Join(dir, "sha256")
}

func mkfifo(path string) error { return unix.Mkfifo(path, 0o644) }

func sumOf(text string) Digest { return sha256.Sum256([]byte(text)) }

func TestStoreTakesNothingUnderAnotherName(t *testing.T) {
	t.Parallel()
	s, dir := testStore(t)
	if err := s.Add(sumOf("good"), strings.NewReader("evil")); err == nil {
		t.Error("a file was taken in under the hash of another")
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("left in the store: %v", entries)
	}
	if err := s.Add(sumOf("good"), strings.NewReader("good")); err != nil || !s.Has(sumOf("good")) {
		t.Fatal(err)
	}
	before, _ := os.Stat(filepath.Join(dir, sumOf("good").String()))
	if err := s.Add(sumOf("good"), strings.NewReader("good")); err != nil {
		t.Error(err)
	}
	if after, _ := os.Stat(filepath.Join(dir, sumOf("good").String())); !os.SameFile(before, after) {
		t.Error("a file of the store was replaced")
	}
}

// TestDamageIsFoundAtEachUse has what may lie in the place of a file of the store: none is used, no link
// followed, no pipe waited for.
func TestDamageIsFoundAtEachUse(t *testing.T) {
	t.Parallel()
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("good"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(path string) error{
		"changed":   func(path string) error { return os.WriteFile(path, []byte("evil"), 0o644) },
		"cut":       func(path string) error { return os.Truncate(path, 2) },
		"longer":    func(path string) error { return os.WriteFile(path, []byte("good and more"), 0o644) },
		"link":      func(path string) error { return errors.Join(os.Remove(path), os.Symlink(other, path)) },
		"hard link": func(path string) error { return errors.Join(os.Remove(path), os.Link("/etc/passwd", path)) },
		"folder":    func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) },
		"pipe":      func(path string) error { return errors.Join(os.Remove(path), mkfifo(path)) },
	} {
		s, dir := testStore(t)
		if err := s.Add(sumOf("good"), strings.NewReader("good")); err != nil {
			t.Fatal(err)
		}
		if err := damage(filepath.Join(dir, sumOf("good").String())); err != nil && name != "hard link" {
			t.Fatal(err)
		}
		out := t.TempDir()
		root, err := rootfs.New(out)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.CopyTo(sumOf("good"), root, "/copy"); err == nil {
			t.Errorf("%s: the file was used", name)
		}
		if _, err := os.Stat(out + "/copy"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a copy stayed", name)
		}
		root.Close()
		if name == "changed" || name == "cut" || name == "longer" { // it can be had again
			if err := s.Add(sumOf("good"), strings.NewReader("good")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := s.Read(sumOf("good"), func(io.Reader) error { return nil }); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestCopyReplacesNothing(t *testing.T) {
	t.Parallel()
	s, _ := testStore(t)
	if err := s.Add(sumOf("good"), strings.NewReader("good")); err != nil {
		t.Fatal(err)
	}
	out, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := errors.Join(os.WriteFile(victim, []byte("mine"), 0o644), os.Symlink(victim, out+"/copy")); err != nil {
		t.Fatal(err)
	}
	root, err := rootfs.New(out)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := s.CopyTo(sumOf("good"), root, "/copy"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("copied over a link: %v", err)
	}
	if text, _ := os.ReadFile(victim); string(text) != "mine" {
		t.Error("written through a link")
	}
}
