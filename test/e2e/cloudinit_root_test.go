//go:build root

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/test/fixture"
)

// TestCloudInitChecksItsTexts has cloud-init of the image, which comes in the same run, refuse what our rules let pass.
func TestCloudInitChecksItsTexts(t *testing.T) {
	t.Parallel()
	if os.Getenv("FULL") == "" {
		return // what it says is in TestCloudInitThatDidNotCheck
	}
	for _, name := range []string{"debian12-efi", "debian13-efi"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			debs := fixture.DebsFor(t, name, "cloud-init")
			config := writeConfig(t, `
os:
  packages: {install: [cloud-init]}
  cloudInit:
    seed:
      userData: {content: "#cloud-config\nusers:\n- {name: bob, unknown: key}\n"}
`)
			status, out := run(t, "--build-dir", t.TempDir(), "--image-file", base(t, name), "--config-file", config, "--deb-source", debs,
				"--output-image-file", filepath.Join(t.TempDir(), "out.raw"), "--output-image-format", "raw")
			if want := "does not take the user-data: Error: Cloud config schema errors: users.0"; status == 0 || !strings.Contains(out, want) {
				t.Errorf("status %d, want %q in\n%s", status, want, out)
			}
		})
	}
}
