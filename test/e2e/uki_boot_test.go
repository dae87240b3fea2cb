//go:build boot

package e2e

import (
	"path/filepath"
	"testing"

	"imagecustomizer/test/fixture"
)

// withUKI makes unified kernel images on an image that GRUB has booted.
const withUKI = `
os:
  hostname: uki
  packages: {install: [systemd-boot, systemd-boot-efi]}
  kernelCommandLine: {extraCommandLine: [probe=1]}
  uki: {mode: create}
`

// ukiProbes tell that a unified kernel image was booted, by systemd-boot, with its arguments.
var ukiProbes = []probe{
	{"hostname", "uki"},
	{"grep -c probe=1 /proc/cmdline", "1"},
	{"tr -d '\\0' </sys/firmware/efi/efivars/LoaderEntrySelected-* | grep -c 'vmlinuz-.*efi'", "1"},
	{"ls /sys/firmware/efi/efivars | grep -c StubInfo", "1"},
}

func ukiDebs(t *testing.T, image string) []string {
	return []string{"--deb-source", fixture.DebsFor(t, image, "systemd-boot", "systemd-boot-efi"), "--disable-base-image-rpm-repos"}
}

// TestUKI boots unified kernel images.
func TestUKI(t *testing.T) {
	full(t)
	for _, image := range []string{"debian13-efi", "debian12-efi"} {
		t.Run(image, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "image.raw")
			customize(t, base(t, image), withUKI, out, "raw", ukiDebs(t, image)...)
			boot(t, out, "raw", ukiProbes)
		})
	}
}
