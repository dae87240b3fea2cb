//go:build boot

package e2e

import (
	"context"
	"os"
	"regexp"
	"testing"
	"time"

	"imagecustomizer/internal/vm"
)

// TestVerityBoots boots an image with / and /usr sealed and an overlay on /etc, and then with a byte
// changed behind its back.
func TestVerityBoots(t *testing.T) {
	t.Parallel()
	image := seal(t, "panic", "  packages: {install: [cryptsetup-bin]}\n")
	const status = " | sed -nE 's/^ *(type|status|mode): *//p' | tr '\\n' ' '"
	boot(t, image, "raw", []probe{
		{"veritysetup status root" + status, "VERITY verified readonly"},
		{"veritysetup status usr" + status, "VERITY verified readonly"},
		{"findmnt -nro SOURCE,FSTYPE /; findmnt -nro SOURCE,FSTYPE /usr; findmnt -nro SOURCE,FSTYPE /etc", "/dev/mapper/root ext4\n/dev/mapper/usr ext4\noverlay overlay"},
		{"touch /usr/x /x 2>&1 | grep -c 'Read-only file system'", "2"},
		{"touch /etc/x && ls /var/overlays/etc/upper/x", "/var/overlays/etc/upper/x"},
		{"hostname", "sealed"},
		{"systemctl --failed --no-legend | wc -l", "0"},
	})
	damaged := copyFile(t, image)
	flip(t, damaged, "root", superblockText)
	bootTo(t, damaged, "dm-verity device corrupted")
}

// superblockText is a byte of an ext4 superblock that says where the filesystem was last mounted: it
// is read by every mount, and means nothing to it.
const superblockText = 1024 + 136 + 8

// bootTo boots an image until the console shows a text.
func bootTo(t *testing.T, image, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	m, err := vm.Start(ctx, vm.Options{Image: image, Format: "raw"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.WaitFor(ctx, regexp.MustCompile(regexp.QuoteMeta(text))); err != nil {
		t.Fatalf("%v\n%s", err, m.Console())
	}
}

// TestCorruptionOptions changes a byte of images sealed with each of the other options.
func TestCorruptionOptions(t *testing.T) {
	if os.Getenv("FULL") == "" {
		t.Log("all options are tried with FULL=1")
		return
	}
	t.Parallel()
	for option, want := range map[string]string{
		"io-error": "data block 0 is corrupted", "restart": "Restarting system with command 'dm-verity device corrupted'", "ignore": "login:",
	} {
		image := seal(t, option, "")
		flip(t, image, "root", superblockText)
		bootTo(t, image, want)
	}
}
