package live

import (
	"testing"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/liveos"
)

// liveTest is a config of the sections here.
type liveTest struct {
	ISO ISO `yaml:"iso"`
	PXE PXE `yaml:"pxe"`
}

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

// TestNetworkBootIsLookedAtByFormat takes what no output of the run needs.
func TestNetworkBootIsLookedAtByFormat(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]int{
		"pxe: {initramfsType: bootstrap}": 1, "pxe: {initramfsType: bootstrap, bootstrapBaseUrl: 'http://a/b'}": 0, "pxe: {bootstrapFileUrl: 'http://a/b.iso'}": 0, "pxe: {}": 0,
	} {
		c := featuretest.Parse[liveTest](t, yaml)
		problems := func(format string) []plan.Problem {
			_, found := LiveMedia{&c.ISO, &c.PXE}.PlanPrepare(&feature.Given{Facts: &machine.Facts{}, Inputs: feature.Inputs{Outputs: []string{"raw", format}}})
			return found
		}
		if got := problems("pxe-dir"); len(got) != want {
			t.Errorf("%s for a network boot: %v", yaml, got)
		}
		if got := problems("iso"); len(got) != 0 {
			t.Errorf("%s for others: %v", yaml, got)
		}
	}
}
