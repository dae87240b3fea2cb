//go:build root

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/test/fixture"
)

// TestUnknownKernelIsNotPublished installs kernels that systemd-boot is not told of, in either of its ways.
func TestUnknownKernelIsNotPublished(t *testing.T) {
	if os.Getenv("FULL") == "" {
		t.Skip("part of the full matrix: FULL=1")
	}
	for _, name := range []string{"debian13-sdboot", "debian13-uki"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			status, text := run(t, "--build-dir", dir+"/build", "--image-file", base(t, name), "--output-image-file", dir+"/out.raw", "--output-image-format", "raw",
				"--config-file", writeConfig(t, "os: {packages: {install: [linux-image-amd64]}}\n"), "--deb-source", fixture.DebsFor(t, name, "linux-image-amd64"), "--disable-base-image-rpm-repos")
			if status == 0 {
				if status, text := run(t, "verify", dir+"/out.raw"); status != 0 {
					t.Errorf("published: %s", text)
				}
				return // the loader was told
			}
			if !strings.Contains(text, "no boot entry loads this kernel") && !strings.Contains(text, "linux-image") {
				t.Errorf("exit %d\n%s", status, text)
			}
			if _, err := os.Stat(filepath.Join(dir, "out.raw")); err == nil {
				t.Error("the image was published")
			}
		})
	}
}

// TestBuilderThatDoesNothing has programs in the place of builders that end well and make nothing.
func TestBuilderThatDoesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := `
storage: {resetPartitionsUuidsType: reset-all}
os:
  bootloader: {resetType: hard-reset}
  additionalFiles:
  - {destination: /usr/bin/dracut, content: "#!/bin/sh\nexit 0\n", permissions: "755"}
`
	status, text := run(t, "--build-dir", dir+"/build", "--image-file", base(t, "debian12-efi"), "--output-image-file", dir+"/out.raw",
		"--output-image-format", "raw", "--config-file", writeConfig(t, config))
	if status == 0 || !strings.Contains(text, "/boot/initrd.img-") || !strings.Contains(text, "was to be made anew") {
		t.Errorf("exit %d\n%s", status, text)
	}
}
