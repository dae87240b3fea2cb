//go:build boot

package e2e

import (
	"path/filepath"
	"testing"

	"imagecustomizer/internal/vm"
	"imagecustomizer/test/fixture"
)

// fitted are settings by which builders fit an initramfs to the machine that they run on, or make none.
const fitted = `
os:
  additionalFiles:
  - {destination: /etc/initramfs-tools/conf.d/driver-policy, content: "MODULES=dep\n"}
  - {destination: /etc/initramfs-tools/update-initramfs.conf, content: "update_initramfs=no\n"}
`

// bothKernels prints kernels that the menu does not have, and settings of the image that were changed.
const bothKernels = `ls /boot/vmlinuz-* | wc -l
for k in /boot/vmlinuz-*; do v=${k#/boot/vmlinuz-}; grep -q "initrd.*$v" /boot/grub/grub.cfg || echo "no entry: $v"; done
ls /etc/initramfs-tools/conf.d /etc/dracut.conf.d 2>/dev/null | grep imagecustomizer`

// secondKernel installs the generic kernel in an image of Debian that has the one for clouds.
func secondKernel(t *testing.T, image, name, config, out string) {
	t.Helper()
	customize(t, image, config+"  packages: {install: [linux-image-amd64]}\n", out, "qcow2",
		"--deb-source", fixture.DebsFor(t, name, "linux-image-amd64"), "--disable-base-image-rpm-repos")
}

// TestDebian13Kernels boots Debian 13 with a second kernel, each of whose initramfs images was made although the
// image has settings that make them for one machine, or not at all. Its systemd takes any sandbox for a container,
// in which hooks of kernels do nothing.
func TestDebian13Kernels(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.qcow2"), filepath.Join(dir, "second.qcow2")
	customize(t, base(t, "debian13-efi"), fitted, first, "qcow2")
	secondKernel(t, first, "debian13-efi", "os:\n  kernelCommandLine: {extraCommandLine: [e2e.kernel=2, "+starved+"]}\n", second)
	boot(t, second, "qcow2", []probe{
		{bothKernels, "2"},
		{"cat /etc/initramfs-tools/conf.d/driver-policy /etc/initramfs-tools/update-initramfs.conf", "MODULES=dep\nupdate_initramfs=no"},
		{"grep -c e2e.kernel=2 /proc/cmdline; . /etc/os-release; echo $VERSION_ID; systemctl --version | grep -o '^systemd 257'", "1\n13\nsystemd 257"},
	})
}

// TestDebianCloud boots Debian's layout for clouds, whose root is partition 1 and the last on the disk, after packages
// and a second kernel with either firmware, and after a new layout.
func TestDebianCloud(t *testing.T) {
	full(t)
	t.Parallel()
	dir := t.TempDir()
	kernels, laidOut := filepath.Join(dir, "kernels.qcow2"), filepath.Join(dir, "laid-out.raw")
	image := base(t, "debian13-cloud")
	secondKernel(t, image, "debian13-cloud", "storage: {resizeDisk: {freeSpace: 2G}}\nos:\n  hostname: cloud\n  kernelCommandLine: {extraCommandLine: [\"console=ttyS0\", "+starved+"]}\n", kernels)
	for _, firmware := range []vm.Firmware{vm.UEFI, vm.BIOS} {
		bootWith(t, vm.Options{Image: kernels, Format: "qcow2", Firmware: firmware}, []probe{
			{bothKernels, "2"}, {"hostname", "cloud"}, {"findmnt -no SOURCE /", "/dev/vda1"}, {mounts, "/ ext4\n/boot/efi vfat"},
		})
	}
	customize(t, image, spread("ext4", "ext4", ""), laidOut, "raw")
	boot(t, laidOut, "raw", append(spreadProbes, probe{mounts, "/ ext4\n/boot ext4\n/boot/efi vfat\n/var ext4"}))
}

// TestDebianNewLayout boots other releases of Debian from a new layout.
func TestDebianNewLayout(t *testing.T) {
	full(t)
	for _, name := range []string{"debian13-efi", "debian11-efi", "debiansid-efi"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "image.raw")
			customize(t, base(t, name), spread("ext4", "ext4", ""), out, "raw")
			boot(t, out, "raw", append(spreadProbes, probe{mounts, "/ ext4\n/boot ext4\n/boot/efi vfat\n/var ext4"}))
		})
	}
}

// TestFitsAnyMachine boots images whose initramfs was made anew although their settings fit one to the machine that
// it is made on.
func TestFitsAnyMachine(t *testing.T) {
	full(t)
	for name, setting := range map[string]string{
		"debian12-efi":  "  - {destination: /etc/dracut.conf.d/host.conf, content: \"hostonly=\\\"yes\\\"\\n\"}\n",
		"debian12-bios": "  - {destination: /etc/initramfs-tools/conf.d/zzzz-driver-policy, content: \"MODULES=dep\\n\"}\n",
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "image.raw")
			_, _ = resetIdentifiers(t, base(t, name), out, "  kernelCommandLine: {extraCommandLine: [console=ttyS0, "+starved+"]}\n  additionalFiles:\n"+setting)
			boot(t, out, "raw", []probe{{"ls /boot/*imagecustomizer* /etc/*/zz-imagecustomizer* /etc/*/*/zz-imagecustomizer* 2>/dev/null | wc -l", "0"}})
		})
	}
}

// TestDebian13ISOFromCD boots a medium whose signed GRUB looks for its configuration on the medium itself.
func TestDebian13ISOFromCD(t *testing.T) {
	full(t)
	medium := iso(t, base(t, "debian13-live"), isoConfig)
	bootLive(t, vm.Options{Image: medium, Firmware: vm.UEFI, Drive: vm.CD}, liveProbes)
}

// TestSystemdBoot boots images that systemd-boot boots: one that got kernel arguments, one that got new partitions and then
// systemd-boot and entries anew, from its own packages, and one with a unified kernel image that was left alone.
func TestSystemdBoot(t *testing.T) {
	full(t)
	probes := []probe{{"hostname", "sdboot"}, {"grep -c probe=1 /proc/cmdline", "1"}, {"systemctl is-system-running", "running"}}
	const arguments = "os:\n  hostname: sdboot\n  kernelCommandLine: {extraCommandLine: [console=ttyS0, probe=1, " + starved + "]}\n"
	t.Run("arguments", func(t *testing.T) {
		t.Parallel()
		out := filepath.Join(t.TempDir(), "image.raw")
		customize(t, base(t, "debian13-sdboot"), arguments, out, "raw")
		boot(t, out, "raw", probes)
	})
	t.Run("from scratch", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		laidOut, out := filepath.Join(dir, "new.raw"), filepath.Join(dir, "image.raw")
		customize(t, base(t, "debian13-sdboot"), newSystemdBootDisk+arguments+"  bootloader: {resetType: hard-reset}\n", laidOut, "raw")
		sh(t, dir, "mdeltree -i new.raw@@1M ::/EFI ::/loader") // kernels of the old entries stay
		customize(t, laidOut, arguments+"  bootloader: {resetType: hard-reset}\n", out, "raw")
		boot(t, out, "raw", probes)
	})
	t.Run("unified", func(t *testing.T) {
		t.Parallel()
		out := filepath.Join(t.TempDir(), "image.raw")
		customize(t, base(t, "debian13-uki"), "os: {hostname: sdboot}\n", out, "raw")
		boot(t, out, "raw", probes[:1])
	})
}

const newSystemdBootDisk = `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    maxSize: 3G
    partitions:
    - {id: esp, type: esp, size: 300M}
    - {id: root, type: root, size: grow}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: root, type: ext4, mountPoint: /}
`
