package step

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/liveos"
)

func TestISOKeepsWhatTheConfigLeavesOpen(t *testing.T) {
	t.Parallel()
	saved := liveos.Saved{InitramfsType: "bootstrap", Persistence: "old", Filesystem: liveos.Filesystem{Type: "squashfs", Level: 15}}
	for _, c := range []struct {
		name       string
		have, then ISO
	}{
		{"nothing said", ISO{}, ISO{InitramfsType: "bootstrap", Persistence: Persistence{Label: "old"}, RootFilesystem: LiveRootFilesystem{"squashfs", 15}}},
		{
			"other persistence",
			ISO{Persistence: Persistence{Label: "new"}, RootFilesystem: LiveRootFilesystem{Type: "erofs"}},
			ISO{InitramfsType: "bootstrap", Persistence: Persistence{Label: "new"}, RootFilesystem: LiveRootFilesystem{Type: "erofs"}},
		},
		{
			"no persistence",
			ISO{Persistence: Persistence{Disabled: true}, RootFilesystem: LiveRootFilesystem{"squashfs", 3}},
			ISO{InitramfsType: "bootstrap", Persistence: Persistence{Disabled: true}, RootFilesystem: LiveRootFilesystem{"squashfs", 3}},
		},
		{"other type", ISO{InitramfsType: "full-os"}, ISO{InitramfsType: "full-os"}},
	} {
		c.have.Keep(saved)
		if d := cmp.Diff(c.then, c.have); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}
