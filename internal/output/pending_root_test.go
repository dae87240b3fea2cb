//go:build root

package output

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLinksOfOthers: what root writes is not led elsewhere by a link that another user put into /tmp or its like.
func TestLinksOfOthers(t *testing.T) {
	t.Parallel()
	const somebody, somebodyElse = 12345, 12346
	for _, c := range []struct {
		mode          os.FileMode
		link, folder  int
		target        string
		refused       bool
		intermediates int
	}{
		{os.ModeSticky | 0o777, somebody, 0, "out.raw", true, 0},
		{os.ModeSticky | 0o777, somebody, somebodyElse, "out.raw", true, 0},
		{os.ModeSticky | 0o777, somebody, 0, "/absent/out.raw", true, 0},
		{os.ModeSticky | 0o777, somebody, 0, "out.raw", true, 1}, // over a link of our own
		{os.ModeSticky | 0o777, 0, somebody, "out.raw", false, 0},
		{os.ModeSticky | 0o777, somebody, somebody, "out.raw", false, 0},
		{os.ModeSticky | 0o755, somebody, 0, "out.raw", false, 0},
		{0o755, somebody, 0, "out.raw", false, 0},
	} {
		dir := t.TempDir()
		for _, err := range []error{
			os.Symlink(c.target, filepath.Join(dir, "link")), os.Lchown(filepath.Join(dir, "link"), c.link, 0),
			os.Chown(dir, c.folder, 0), os.Chmod(dir, c.mode),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		name := filepath.Join(dir, "link")
		if c.intermediates > 0 {
			name = filepath.Join(t.TempDir(), "own")
			if err := os.Symlink(filepath.Join(dir, "link"), name); err != nil {
				t.Fatal(err)
			}
		}
		_, err := followLinks(name)
		if refused := err != nil && strings.Contains(err.Error(), "another user"); refused != c.refused || err != nil && !refused {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
