//go:build root

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestIdentifiersReset resets the identifiers of images of every make-up. The seed alone decides what
// they become: that is so for the result, too, whose identifiers are those of the seed already.
func TestIdentifiersReset(t *testing.T) {
	variants := []string{"debian12-efi"}
	if os.Getenv("FULL") != "" {
		variants = append(variants, "debian12-bios", "debian12-parts", "debian12-btrfs", "debian12-xfs", "azl3", "mariner2")
	}
	for _, name := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			out, again := filepath.Join(dir, "out.raw"), filepath.Join(dir, "again.raw")
			_, is := resetIdentifiers(t, base(t, name), out, "")
			if name != "debian12-efi" {
				return
			}
			fstab := readFile(t, out, "/etc/fstab")
			if !strings.Contains(fstab, "UUID="+is[4]+" / ext4 errors=remount-ro ") || !strings.Contains(fstab, "UUID="+is[2]+" /boot/efi vfat ") {
				t.Errorf("the lines of fstab:\n%s", fstab)
			}
			if config := readFile(t, out, "/boot/grub/grub.cfg"); strings.Count(config, " root=UUID="+is[4]) < 2 {
				t.Errorf("grub.cfg does not boot from UUID %s:\n%s", is[4], config)
			}
			customize(t, out, "storage: {resetPartitionsUuidsType: reset-all}\nos: {bootloader: {resetType: hard-reset}}\n", again, "raw", "--seed", "identifiers")
			if got := identifiers(t, again); !slices.Equal(got, is) {
				t.Errorf("the same seed gives %q, then %q", is, got)
			}
		})
	}
}

// TestIdentifiersThatStay gives images whose identifiers cannot be reset.
func TestIdentifiersThatStay(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"debian12-mbr": "the image has an MBR: only a disk with a GPT has identifiers of its own for every partition",
	} {
		config := writeConfig(t, "storage: {resetPartitionsUuidsType: reset-all}\nos: {bootloader: {resetType: hard-reset}}\n")
		status, text := run(t, "--dry-run", "--build-dir", t.TempDir(), "--image-file", base(t, name), "--config-file", config)
		if status != 3 || !strings.Contains(text, want) {
			t.Errorf("%s: exit %d\n%s", name, status, text)
		}
	}
}
