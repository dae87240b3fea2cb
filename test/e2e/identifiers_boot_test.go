//go:build boot

package e2e

import (
	"path/filepath"
	"testing"
)

// TestIdentifiersResetBoots boots an image with filesystems and swap on partitions of their own, all of
// which have other identifiers than before.
func TestIdentifiersResetBoots(t *testing.T) {
	full(t)
	t.Parallel()
	out := filepath.Join(t.TempDir(), "image.raw")
	_, _ = resetIdentifiers(t, base(t, "debian12-parts"), out, "  kernelCommandLine: {extraCommandLine: [console=ttyS0]}")
	boot(t, out, "raw", []probe{
		{mounts, "/ ext4\n/boot ext4\n/boot/efi vfat\n/home ext4\n/usr ext4\n/var xfs"},
		{"swapon --show=NAME --noheadings | wc -l", "1"},
		{"lsblk -nro UUID /dev/vda | sort -u | grep -c .", "7"},
	})
}
