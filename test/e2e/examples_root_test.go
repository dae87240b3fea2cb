//go:build root

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"imagecustomizer/test/fixture"
)

// examples are the configs of the guide, with the base image that its page names and packages that it lacks.
var examples = map[string]struct {
	base string
	debs []string
}{
	"appliance":   {"debian12-seal", []string{"nginx-light", "cryptsetup-bin"}},
	"azure":       {"debian12-efi", []string{"cloud-init"}},
	"first-image": {"debian12-efi", nil},
	"live-stick":  {"debian12-live", nil},
	"web-server":  {"debian12-efi", webServerDebs},
}

// TestExamples carries out each config of the guide, or, without FULL, finds out whether it can be.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(fixture.Root(), "examples/*.yaml"))
	if err != nil || len(files) != len(examples) {
		t.Fatalf("%d examples of %d are known: %v", len(examples), len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file[:len(file)-len(".yaml")])
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			format := "raw"
			if name == "live-stick" {
				format = "iso"
			}
			args := []string{
				"--build-dir", t.TempDir(), "--image-file", base(t, examples[name].base), "--config-file", file,
				"--output-image-file", filepath.Join(t.TempDir(), "out"), "--output-image-format", format,
			}
			if debs := examples[name].debs; debs != nil {
				args = append(args, "--disable-base-image-rpm-repos", "--deb-source", fixture.DebsFor(t, examples[name].base, debs...))
			}
			if os.Getenv("FULL") == "" {
				args = append(args, "--dry-run")
			}
			if status, out := run(t, args...); status != 0 {
				t.Errorf("exit %d\n%s", status, out)
			}
		})
	}
}
