package disk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBtrfsOfTheHost: the kernel would take a filesystem of the image for a part of one of the host's.
func TestBtrfsOfTheHost(t *testing.T) {
	t.Parallel()
	sys := t.TempDir()
	for id, devices := range map[string][]string{"host": {"sda2"}, "raid": {"loop0", "nvme0n1p3"}, "run": {"loop1", "loop2p3"}} {
		for _, d := range devices {
			if err := os.MkdirAll(filepath.Join(sys, id, "devices", d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for id, want := range map[string]string{"host": "on sda2", "raid": "on nvme0n1p3", "run": "", "absent": "", "": ""} {
		err := foreignDevices(sys, id)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", id, err, want)
		}
	}
}
