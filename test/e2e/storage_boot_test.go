//go:build boot

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mounts prints the mount points and kinds of the system's own filesystems.
const mounts = `findmnt --real -rno TARGET,FSTYPE | grep -v -e '^/run' -e '^/sys' -e '^/proc' -e '^/dev' | sort`

// spread is a layout for UEFI with filesystems of its own for /boot and /var, of these kinds.
func spread(boot, root, more string) string {
	return strings.NewReplacer("BOOT", boot, "ROOT", root).Replace(`
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    maxSize: 4G
    partitions:
    - {id: esp, type: esp, size: 64M}
    - {id: boot, size: 512M, label: boot}
    - {id: var, type: var, size: 1G}
    - {id: swap, type: swap, size: 64M}
    - {id: root, type: root, size: grow}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: boot, type: BOOT, mountPoint: {path: /boot, idType: part-label}}
  - {deviceId: root, type: ROOT, mountPoint: {path: /, idType: uuid}}
  - {deviceId: var, type: ROOT, mountPoint: {path: /var, options: "nodev,nosuid"}}
os:
  bootloader: {resetType: hard-reset}
  kernelCommandLine: {extraCommandLine: ["console=ttyS0", "e2e.new=1"]}
`) + more
}

var spreadProbes = []probe{
	{"grep -c e2e.new=1 /proc/cmdline", "1"},
	{"swapon --show=NAME --noheadings | wc -l", "1"},
	{"findmnt -no OPTIONS /var | grep -c -e nodev,nosuid -e nosuid,nodev", "1"},
	{"dpkg --audit | wc -l", "0"},
}

// TestNewLayout boots Debian from a layout with a filesystem each for /boot, / and /var.
func TestNewLayout(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "image.raw")
	customize(t, base(t, "debian12-efi"), spread("ext4", "ext4", ""), out, "raw")
	boot(t, out, "raw", append(spreadProbes, probe{mounts, "/ ext4\n/boot ext4\n/boot/efi vfat\n/var ext4"}))
}

// TestNewLayoutXFS boots Debian from XFS, /boot included.
func TestNewLayoutXFS(t *testing.T) {
	full(t)
	t.Parallel()
	out := filepath.Join(t.TempDir(), "image.qcow2")
	customize(t, base(t, "debian12-efi"), spread("xfs", "xfs", ""), out, "qcow2")
	boot(t, out, "qcow2", append(spreadProbes, probe{mounts, "/ xfs\n/boot xfs\n/boot/efi vfat\n/var xfs"}))
}

const legacyLayout = `
storage:
  bootType: legacy
  disks:
  - partitionTableType: gpt
    maxSize: 3G
    partitions:
    - {id: bios, type: bios-grub, size: 1M}
    - {id: boot, size: 320M}
    - {id: root, size: grow}
  filesystems:
  - {deviceId: boot, type: BOOT, mountPoint: /boot}
  - {deviceId: root, type: ext4, mountPoint: /}
os:
  bootloader: {resetType: hard-reset}
  packages: {install: [PACKAGES]}
  kernelCommandLine: {extraCommandLine: ["console=ttyS0", "e2e.bios=1"]}
`

const btrfsLayout = `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    partitions:
    - {id: esp, type: esp, size: 64M}
    - {id: root, size: 3G}
  filesystems:
  - {deviceId: esp, type: vfat, mountPoint: /boot/efi}
  - deviceId: root
    type: btrfs
    btrfs:
      subvolumes:
      - {path: root, mountPoint: {path: /, idType: uuid}}
      - {path: home, mountPoint: /home}
      - {path: volumes/var, mountPoint: /var, quota: {referencedLimit: 2G}}
os:
  bootloader: {resetType: hard-reset}
  kernelCommandLine: {extraCommandLine: ["console=ttyS0", "e2e.btrfs=1"]}
`

// TestFirmwareChanged takes a UEFI image to BIOS, changes the result, and takes that back to UEFI, with
// btrfs: a chain of three runs.
func TestFirmwareChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bios, changed, efi := filepath.Join(dir, "bios.qcow2"), filepath.Join(dir, "changed.raw"), filepath.Join(dir, "efi.raw")
	customize(t, base(t, "debian12-efi"), strings.NewReplacer("BOOT", "ext4", "PACKAGES", "grub-pc-bin").Replace(legacyLayout), bios, "qcow2")
	boot(t, bios, "qcow2", []probe{
		{"test -d /sys/firmware/efi || echo bios", "bios"},
		{"grep -c e2e.bios=1 /proc/cmdline", "1"},
		{mounts, "/ ext4\n/boot ext4"},
	})
	if os.Getenv("FULL") == "" {
		return
	}
	customize(t, bios, "os:\n  hostname: chain\n  kernelCommandLine: {extraCommandLine: [e2e.second=1]}\n", changed, "raw")
	customize(t, changed, btrfsLayout, efi, "raw")
	boot(t, efi, "raw", []probe{
		{"test -d /sys/firmware/efi && echo efi", "efi"},
		{"hostname", "chain"},
		{"grep -o 'e2e[.][a-z]*=1' /proc/cmdline", "e2e.btrfs=1"}, // from scratch: the others are gone
		{mounts, "/ btrfs\n/boot/efi vfat\n/home btrfs\n/var btrfs"},
		{"findmnt -no FSROOT /var", "/volumes/var"},
		{"btrfs qgroup show -r --raw /var | grep -c 2147483648", "1"},
		{"grep -c toolVersion /usr/share/image-customizer/history.json", "3"},
	})
}

// TestNewLayoutRPM boots the RPM-managed images from a layout with filesystems of their own.
func TestNewLayoutRPM(t *testing.T) {
	full(t)
	for _, c := range []struct{ name, root string }{{"azl3", "ext4"}, {"azl3", "xfs"}, {"mariner2", "ext4"}} {
		t.Run(c.name+"-"+c.root, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "image.vhdx")
			customize(t, base(t, c.name), spread("ext4", c.root, ""), out, "vhdx")
			boot(t, out, "vhdx", append(spreadProbes[:3:3], probe{mounts, strings.ReplaceAll("/ ROOT\n/boot ext4\n/boot/efi vfat\n/var ROOT", "ROOT", c.root)}))
		})
	}
}

// TestNewLayoutRPMOnBIOS boots the RPM-managed image on BIOS, with /boot on XFS.
func TestNewLayoutRPMOnBIOS(t *testing.T) {
	full(t)
	t.Parallel()
	out := filepath.Join(t.TempDir(), "image.raw")
	config := strings.NewReplacer("BOOT", "xfs", "PACKAGES", "grub2, grub2-pc").Replace(legacyLayout)
	customize(t, base(t, "azl3"), config, out, "raw", "--disable-base-image-rpm-repos", "--rpm-source", base(t, "repo"))
	boot(t, out, "raw", []probe{{"test -d /sys/firmware/efi || echo bios", "bios"}, {mounts, "/ ext4\n/boot xfs"}})
}

// full skips a test of the full matrix unless that is asked for.
func full(t *testing.T) {
	if os.Getenv("FULL") == "" {
		t.Skip("part of the full matrix: FULL=1")
	}
}
