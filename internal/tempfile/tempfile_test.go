package tempfile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func open(t *testing.T, dir string) *os.File {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}

// makers are both kinds of files; a filesystem has one or both.
var makers = map[string]func(*os.File) (*File, error){"as the filesystem allows": Create, "with a temporary name": named}

func TestPublishOrDiscard(t *testing.T) {
	t.Parallel()
	for kind, create := range makers {
		dir := t.TempDir()
		for _, text := range []string{"first", "second"} {
			f, err := create(open(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(text); err != nil {
				t.Fatal(err)
			}
			if err := f.Publish("out"); err != nil {
				t.Fatal(err)
			}
			f.Discard()
			wantFiles(t, dir, "out")
			if got, _ := os.ReadFile(dir + "/out"); string(got) != text {
				t.Errorf("%s: %q, want %q", kind, got, text)
			}
		}
		f, err := create(open(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		f.Discard()
		wantFiles(t, dir, "out")
	}
}

func TestScratchIsInNoFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := Scratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wantFiles(t, dir)
	if _, err := f.WriteAt([]byte("x"), 1<<20); err != nil {
		t.Error(err)
	}
}

func TestStaleFilesAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const gone = 1 << 30 // above the kernel's largest process number
	stale := fmt.Sprintf(".imagecustomizer-%d-ABCD.tmp", gone)
	locked := fmt.Sprintf(".imagecustomizer-%d-LOCKED.tmp", gone)
	keep := []string{locked, fmt.Sprintf(".imagecustomizer-%d-ABCD.tmp", os.Getpid()), ".imagecustomizer-x-ABCD.tmp", "imagecustomizer-7-A.tmp"}
	for _, name := range append([]string{stale}, keep...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	forgotten := filepath.Join(dir, fmt.Sprintf(".imagecustomizer-%d-OLD.tmp", os.Getpid()))
	if err := os.WriteFile(forgotten, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(forgotten, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	holder, err := os.OpenFile(filepath.Join(dir, locked), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	if err := lock(holder); err != nil {
		t.Fatal(err)
	}
	f, err := Scratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	wantFiles(t, dir, keep...)
}

func TestNameIsRecognised(t *testing.T) {
	t.Parallel()
	if name := newName(); !pattern.MatchString(name) {
		t.Errorf("%q would never be cleaned up", name)
	}
}

func TestFilesystemWithoutUnnamedFilesIsRecognised(t *testing.T) {
	t.Parallel()
	if f, err := unnamed(open(t, "/proc")); err == nil || !unsupported(err) {
		t.Errorf("an unnamed file in /proc: %v, %v", f, err)
	}
}
