package tempfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, dir)
	f, err := CreateFolder(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Path()+"/a", []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	other, err := CreateFolder(d) // does not remove the first, which is in use
	if err != nil {
		t.Fatal(err)
	}
	other.Discard()
	wantFiles(t, dir, f.temp)
	if err := f.Publish("name"); err != nil {
		t.Fatal(err)
	}
	f.Discard()
	wantFiles(t, dir, "name")
	wantFiles(t, filepath.Join(dir, "name"), "a")
}

func TestFolderOfAnEndedRunIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := open(t, dir)
	f, err := CreateFolder(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Path()+"/a", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	ended := filepath.Join(dir, ".imagecustomizer-2147483647-AAAA.tmp") // no process has this number
	if err := os.Rename(filepath.Join(dir, f.temp), ended); err != nil {
		t.Fatal(err)
	}
	RemoveStale(d)
	wantFiles(t, dir, filepath.Base(ended)) // still locked
	f.Close()
	RemoveStale(d)
	wantFiles(t, dir)
}
