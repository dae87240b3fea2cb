package output

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/tempfile"
)

func create(t *testing.T, path string) *Pending {
	t.Helper()
	p, err := Create(path, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Discard)
	return p
}

func fill(t *testing.T, p *Pending, text string) *Pending {
	t.Helper()
	if _, err := p.File().WriteString(text); err != nil {
		t.Fatal(err)
	}
	return p
}

// tree lists the folder's files with their content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		var text []byte
		if d.Type() != fs.ModeNamedPipe {
			text, _ = os.ReadFile(path)
		}
		got[rel] = string(text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func wantTree(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	if d := cmp.Diff(want, tree(t, dir)); d != "" {
		t.Errorf("folder (-want +got):\n%s", d)
	}
}

func TestPublishGivesTheName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := fill(t, create(t, dir+"/a/b/out.raw"), "new")
	wantTree(t, dir, map[string]string{"a": "", "a/b": ""})
	if err := Publish(p); err != nil {
		t.Fatal(err)
	}
	p.Discard()
	wantTree(t, dir, map[string]string{"a": "", "a/b": "", "a/b/out.raw": "new"})
	fi, err := os.Stat(dir + "/a/b/out.raw")
	if err != nil || fi.Mode() != tempfile.Mode&^currentUmask(t) {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

// currentUmask reads the umask without changing it.
func currentUmask(t *testing.T) fs.FileMode {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "Umask:")
	var mask fs.FileMode
	if _, err := fmt.Sscanf(rest, "%o", &mask); err != nil {
		t.Fatal(err)
	}
	return mask
}

func TestDiscardLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, create(t, dir+"/made/too/out.raw"), "half").Discard()
	wantTree(t, dir, map[string]string{})
}

func TestPublishReplacesAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := dir + "/out.raw"
	write(t, old, "old")
	reader, err := os.Open(old)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	p := fill(t, create(t, old), "new")
	wantTree(t, dir, map[string]string{"out.raw": "old"})
	if err := Publish(p); err != nil {
		t.Fatal(err)
	}
	wantTree(t, dir, map[string]string{"out.raw": "new"})
	still := make([]byte, 3)
	if _, err := reader.Read(still); err != nil || string(still) != "old" {
		t.Errorf("who had the old file open now reads %q, %v: it was written into, not replaced", still, err)
	}
}

func TestPublishFollowsALinkAtTheName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/real.raw", "old")
	if err := errors.Join(os.Symlink("real.raw", dir+"/second"), os.Symlink(dir+"/second", dir+"/first")); err != nil {
		t.Fatal(err)
	}
	if err := Publish(fill(t, create(t, dir+"/first"), "new")); err != nil {
		t.Fatal(err)
	}
	wantTree(t, dir, map[string]string{"real.raw": "new", "second": "new", "first": "new"})
	if fi, err := os.Lstat(dir + "/first"); err != nil || fi.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the link is gone: %v, %v", fi, err)
	}
}

func TestPublishSyncsAllBeforeNamingAny(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, bad := fill(t, create(t, dir+"/good"), "1"), create(t, dir+"/bad")
	_ = bad.file.Close() // its sync fails
	if err := Publish(good, bad); err == nil || !strings.Contains(err.Error(), `/bad"`) {
		t.Errorf("error %v", err)
	}
	wantTree(t, dir, map[string]string{})
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/file", "")
	if err := errors.Join(
		os.Symlink("loop", dir+"/loop"),
		syscall.Mkfifo(dir+"/fifo", 0o600)); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	for name, want := range map[string]string{
		"new/":       "is a directory: name a file in it",
		".":          "is a directory: name a file in it",
		"loop":       "too many levels of symbolic links",
		"fifo":       "is not a regular file",
		"file/out":   "not a directory",
		"file/a/out": "not a directory",
	} {
		_, err := Create(dir+"/"+name, false)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir+"/"+name) {
			t.Errorf("Create(%q): %v; want %q", name, err, want)
		}
	}
	wantTree(t, dir, before)
}

// TestKeep lets a file appear after the output was made: it must survive.
func TestKeep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, err := Create(dir+"/out", true)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, p, "new")
	write(t, dir+"/out", "older")
	if err := Publish(p); !errors.Is(err, os.ErrExist) {
		t.Errorf("error %v", err)
	}
	wantTree(t, dir, map[string]string{"out": "older"})
}

func TestParseOwner(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		uid, gid string
		want     owner
	}{
		{"1000", "100", owner{uid: 1000, gid: 100, set: true}},
		{"0", "0", owner{set: true}},
		{"", "", owner{}},
		{"1000", "", owner{}},
		{"-1", "100", owner{}},
		{"1000", "4294967295", owner{}},
		{"4294967296", "1", owner{}},
		{"1000; rm", "1", owner{}},
	} {
		if got := parseOwner(c.uid, c.gid); got != c.want {
			t.Errorf("parseOwner(%q, %q) = %+v, want %+v", c.uid, c.gid, got, c.want)
		}
	}
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := create(t, dir+"/disk image.raw")
	if err := p.File().Truncate(5*mib + 3); err != nil {
		t.Fatal(err)
	}
	if _, err := p.File().WriteAt([]byte("data"), 2*mib+7); err != nil {
		t.Fatal(err)
	}
	c, err := Checksum(context.Background(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Publish(c, p); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(dir + "/disk image.raw.sha256")
	if want := sha256Of(t, dir+"/disk image.raw") + "  disk image.raw\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestChecksumLine(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"a b": "00  a b\n", `a\b`: `\00  a\\b` + "\n", "a\nb": `\00  a\nb` + "\n"} {
		if got := checksumLine("00", name); got != want {
			t.Errorf("%q gives %q, want %q", name, got, want)
		}
	}
}
