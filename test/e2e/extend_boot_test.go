//go:build boot

package e2e

import (
	"path/filepath"
	"testing"
)

// TestExtendedInPlaceBoots boots an image whose root has grown where it was, and that has got more partitions.
func TestExtendedInPlaceBoots(t *testing.T) {
	full(t)
	t.Parallel()
	out := filepath.Join(t.TempDir(), "image.qcow2")
	customize(t, convert(t, base(t, "debian12-efi"), "qcow2"), extendedLayout, out, "qcow2")
	boot(t, out, "qcow2", []probe{
		{mounts, "/ ext4\n/boot/efi vfat\n/var ext4\n/var/log xfs"},
		{"df --output=size -B1M / | awk 'NR > 1 && $1 < 3000'", ""},
		{"swapon --show=NAME --noheadings | wc -l", "1"},
		{"hostname; dpkg --audit | wc -l", "extended\n0"},
		{"ls /var/log/faillog", "/var/log/faillog"},
	})
}

// TestShrunkXFSBoots boots from an XFS that was made anew to be as small as what it holds.
func TestShrunkXFSBoots(t *testing.T) {
	full(t)
	t.Parallel()
	out := filepath.Join(t.TempDir(), "image.raw")
	customize(t, base(t, "debian12-efi"), shrunkLayout, out, "raw")
	boot(t, out, "raw", []probe{
		{mounts, "/ xfs\n/boot ext4\n/boot/efi vfat\n/var btrfs"},
		{"df --output=target,size -B1M / /boot /var | awk 'NR > 1 && $2 > ($1 == \"/\" ? 1200 : 600)'", ""},
		{"touch /x /boot/x /var/x && dpkg --audit | wc -l", "0"},
	})
}
