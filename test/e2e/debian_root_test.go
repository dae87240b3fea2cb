//go:build root

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/test/fixture"
)

// installKernel installs a second kernel, which systemd-boot is not told of by its package.
func installKernel(t *testing.T, name string, change func(image string), config string) (out, text string, status int) {
	t.Helper()
	if os.Getenv("FULL") == "" {
		t.Skip("part of the full matrix: FULL=1")
	}
	t.Parallel()
	dir := t.TempDir()
	out = dir + "/out.raw"
	image := copyFile(t, base(t, name))
	change(image)
	status, text = run(t, "--build-dir", dir+"/build", "--image-file", image, "--output-image-file", out, "--output-image-format", "raw",
		"--config-file", writeConfig(t, config), "--deb-source", fixture.DebsFor(t, name, "linux-image-amd64"), "--disable-base-image-rpm-repos")
	return out, text, status
}

// TestKernelInstall has the image's own kernel-install make the entry of a new kernel: under the name that its entries have,
// though the machine identifier is gone, and with the image's arguments, though nothing in it says what they are.
func TestKernelInstall(t *testing.T) {
	out, text, status := installKernel(t, "debian13-sdboot", func(image string) {
		for _, name := range []string{"/etc/kernel/cmdline", "/etc/machine-id"} {
			sh(t, ".", fmt.Sprintf("debugfs -w -R 'rm %s' '%s?offset=%d'", name, image, rootOffset(t, image)))
		}
	}, "os: {kernelCommandLine: {extraCommandLine: [probe=1]}, packages: {install: [linux-image-amd64]}}\n")
	if status != 0 {
		t.Fatalf("exit %d\n%s", status, text)
	}
	entries := sh(t, filepath.Dir(out), "mtype -i out.raw@@1M '::/loader/entries/*'")
	if n := strings.Count(entries, "\nlinux "); n != 2 || strings.Count(entries, " probe=1") != 2 || strings.Count(entries, "root=UUID=") != 2 {
		t.Errorf("%d entries:\n%s", n, entries)
	}
	if status, text := run(t, "verify", out); status != 0 {
		t.Error(text)
	}
}

// TestUnknownKernelIsNotPublished installs a kernel of which no unified image is made.
func TestUnknownKernelIsNotPublished(t *testing.T) {
	out, text, status := installKernel(t, "debian13-uki", func(string) {}, "os: {packages: {install: [linux-image-amd64]}}\n")
	if status == 0 {
		if status, text := run(t, "verify", out); status != 0 {
			t.Errorf("published: %s", text)
		}
		return // one was made
	}
	if !strings.Contains(text, "no boot entry loads this kernel") && !strings.Contains(text, "linux-image") {
		t.Errorf("exit %d\n%s", status, text)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("the image was published")
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
