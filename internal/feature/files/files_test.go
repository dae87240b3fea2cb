package files

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/feature/featuretest"
)

func TestFilesAndFolders(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"run.sh": 0o750, "d/inner": 0o600} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(src, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("inner", filepath.Join(src, "d/link")); err != nil {
		t.Fatal(err)
	}
	m := featuretest.Tree(t, map[string]string{"etc/old": "old"})
	text, mode := "", fs.FileMode(0o600)
	featuretest.MustRun(t, m, WriteFile{Source: src + "/run.sh", Destination: "/opt/new/run.sh"}, WriteFile{Content: &text, Destination: "/etc/empty"},
		WriteFile{Content: &text, Destination: "/etc/old", Mode: &mode}, CopyDir{Source: src + "/d", Destination: "/srv/d", NewDirs: 0o711, Files: 0o644})
	for name, want := range map[string]string{
		"/opt/new/run.sh": "-rwxr-x---", "/etc/empty": "-rw-r--r--", "/etc/old": "-rw-------", "/srv/d": "drwx--x--x", "/srv/d/inner": "-rw-r--r--", "/srv/d/link": "-rw-r--r--",
	} {
		fi, err := m.Root.Lstat(name)
		if err != nil || fi.Mode().String() != want {
			t.Errorf("%s: %v %v, want %s", name, fi.Mode(), err, want)
		}
	}
	if got := featuretest.Read(t, m, "/srv/d/link"); got != "d/inner" {
		t.Errorf("a link to a file was not followed: %q", got)
	}
	if err := os.Symlink("d", filepath.Join(src, "folder")); err != nil {
		t.Fatal(err)
	}
	err := CopyDir{Source: src, Destination: "/x", NewDirs: 0o755, Files: 0o644}.Run(context.Background(), m)
	if err == nil || !strings.Contains(err.Error(), "link to a folder") {
		t.Errorf("a link to a folder: %v", err)
	}
}
