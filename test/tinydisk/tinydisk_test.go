package tinydisk

import (
	"path/filepath"
	"testing"
)

func TestMakeAndRead(t *testing.T) {
	t.Parallel()
	disk := filepath.Join(t.TempDir(), "disk.raw")
	Make(t, disk, System().With(Files{"/etc/added": "x", "/etc/hostname": ""}))
	if got := Read(t, disk, "/etc/added"); got != "x" {
		t.Errorf("got %q", got)
	}
	if got := Read(t, disk, "/etc/hostname"); got != "" {
		t.Errorf("a file that was taken away holds %q", got)
	}
}
