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
func TestNewLayoutExt4(t *testing.T) {
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

// full skips a test of the full matrix unless that is asked for.
func full(t *testing.T) {
	if os.Getenv("FULL") == "" {
		t.Skip("part of the full matrix: FULL=1")
	}
}
