//go:build boot

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/vm"
)

// TestVerityBoots boots an image with / and /usr sealed and an overlay on /etc, and then with a byte
// changed behind its back.
func TestVerityBoots(t *testing.T) {
	t.Parallel()
	image := seal(t, "panic", "  packages: {install: [cryptsetup-bin]}\n")
	boot(t, image, "raw", append([]probe{
		{"veritysetup status usr" + verityStatus, "VERITY verified readonly"},
		{"findmnt -nro SOURCE,FSTYPE /usr", "/dev/mapper/usr ext4"},
		{"touch /usr/x 2>&1 | grep -c 'Read-only file system'", "1"},
	}, sealedProbes...))
	damaged := copyFile(t, image)
	flip(t, damaged, "root", beforeSuperblock)
	bootTo(t, damaged, "dm-verity device corrupted")
}

// verityStatus picks what tells most of the output of veritysetup status.
const verityStatus = " | sed -nE 's/^ *(type|status|mode): *//p' | tr '\\n' ' '"

// sealedProbes find a sealed root with an overlay on /etc.
var sealedProbes = []probe{
	{"veritysetup status root" + verityStatus, "VERITY verified readonly"},
	{"findmnt -nro SOURCE,FSTYPE /; findmnt -nro SOURCE,FSTYPE /etc", "/dev/mapper/root ext4\noverlay overlay"},
	{"touch /x 2>&1 | grep -c 'Read-only file system'", "1"},
	{"touch /etc/x && ls /var/overlays/etc/upper/x", "/var/overlays/etc/upper/x"},
	{"hostname", "sealed"},
	{"systemctl --failed --no-legend | wc -l", "0"},
}

// sealedLayout begins the layout of a system whose filesystems are sealed.
const sealedLayout = `
scripts:
  postCustomization:
  - content: echo 'tmpfs /tmp tmpfs mode=1777,nosuid,nodev 0 0' >> /etc/fstab
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    maxSize: 3G
    partitions:
    - {id: esp, type: esp, size: 64M}
`

// newSealedDisk lays a system out anew, its root sealed. PACKAGES is replaced.
const newSealedDisk = sealedLayout + `    - {id: boot, type: xbootldr, size: 300M}
    - {id: rootdata, type: root, label: root, size: 1500M}
    - {id: roothash, type: root-verity, label: roothash, size: 16M}
    - {id: var, type: var, size: grow}
  verity:
  - {id: rootverity, name: root, dataDeviceId: rootdata, hashDeviceId: roothash, corruptionOption: panic}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: boot, type: ext4, mountPoint: /boot}
  - {deviceId: rootverity, type: ext4, mountPoint: {path: /, options: ro}}
  - {deviceId: var, type: ext4, mountPoint: {path: /var, options: x-initrd.mount}}
os:
  bootloader: {resetType: hard-reset}
  packages: {install: [PACKAGES]}
  hostname: sealed
  kernelCommandLine: {extraCommandLine: [console=ttyS0]}
` + etcOverlay

// TestVerityOnNewPartitions boots systems that were laid out anew and sealed in one run.
func TestVerityOnNewPartitions(t *testing.T) {
	t.Parallel()
	images := map[string]string{"azl3": ""} // veritysetup is there already
	if os.Getenv("FULL") != "" {
		images["debian12-efi"] = "cryptsetup-bin"
	}
	for name, packages := range images {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "image.raw")
			customize(t, base(t, name), strings.Replace(newSealedDisk, "PACKAGES", packages, 1), out, "raw")
			boot(t, out, "raw", sealedProbes)
		})
	}
}

// beforeSuperblock is a byte of an ext4's first block that nothing reads and no checksum covers, before the
// superblock: every mount has the block verified.
const beforeSuperblock = 512

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
		flip(t, image, "root", beforeSuperblock)
		bootTo(t, image, want)
	}
}
