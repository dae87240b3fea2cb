package output

import (
	"archive/tar"
	"os"
	"strings"
	"testing"
)

func writeArchive(t *testing.T, p *Pending, names ...string) {
	t.Helper()
	w := tar.NewWriter(p.File())
	for _, n := range names {
		h := &tar.Header{Name: n, Mode: 0o644, Size: int64(len(n)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(n, "/") {
			h.Typeflag, h.Size = tar.TypeDir, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFolderAppearsWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/out", 0o755); err != nil { // an empty folder is replaced
		t.Fatal(err)
	}
	p, err := CreateFolder(dir + "/out")
	if err != nil {
		t.Fatal(err)
	}
	writeArchive(t, p, "boot/", "boot/a", "b")
	wantTree(t, dir+"/out", map[string]string{})
	if err := Publish(p); err != nil {
		t.Fatal(err)
	}
	wantTree(t, dir+"/out", map[string]string{"boot": "", "boot/a": "boot/a", "b": "b"})
}

func TestFolderRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/file", "x")
	for path, want := range map[string]string{dir: "the folder is not empty", dir + "/file": "is not a folder"} {
		if _, err := CreateFolder(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	// A name that leads out of the folder, and an archive cut short, leave nothing.
	for _, names := range [][]string{{"../out"}, nil} {
		p, err := CreateFolder(dir + "/sub/out")
		if err != nil {
			t.Fatal(err)
		}
		writeArchive(t, p, append(names, "a")...)
		if names == nil {
			if err := p.File().Truncate(512); err != nil {
				t.Fatal(err)
			}
		}
		if err := Publish(p); err == nil {
			t.Errorf("%v: published", names)
		}
		wantTree(t, dir, map[string]string{"file": "x"})
	}
}
