package output

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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

// TestUnpackedArchiveIsFreed looks at the blocks of an archive that was read.
func TestUnpackedArchiveIsFreed(t *testing.T) {
	t.Parallel()
	file, err := os.Create(t.TempDir() + "/archive")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const size = 40 << 20
	for at := int64(0); at < size; at += mib {
		if _, err := file.WriteAt(bytes.Repeat([]byte{1}, mib), at); err != nil {
			t.Fatal(err)
		}
	}
	n, err := io.Copy(io.Discard, struct{ io.Reader }{&eater{file: file}})
	if err != nil || n != size {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != size || st.Blocks*512 > 17<<20 {
		t.Errorf("%d bytes of %d are still there", st.Blocks*512, st.Size)
	}
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
