//go:build boot

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/vm"
	"imagecustomizer/test/fixture"
)

const isoConfig = `
os:
  hostname: live-host
  additionalFiles:
  - content: "hello\n"
    destination: /etc/live-hello
  kernelCommandLine:
    extraCommandLine: [e2e.disk=1]
iso:
  kernelCommandLine:
    extraCommandLine: [e2e.live=1, ` + starved + `]
  additionalFiles:
  - content: "medium\n"
    destination: /docs/readme.txt
`

// systemProbes find what isoConfig did to the system.
var systemProbes = []probe{
	{"hostname; cat /etc/live-hello", "live-host\nhello"},
	{"ls -d /etc/fstab /boot/* 2>/dev/null | wc -l", "0"},
	{"tr ' ' '\\n' </proc/cmdline | grep -x -e e2e.disk=1", "e2e.disk=1"},
	{"touch /new && echo written", "written"},
}

// liveProbes find what isoConfig did, in a system that runs from a medium.
var liveProbes = append([]probe{
	{"findmnt -no FSTYPE /", "overlay"},
	{
		"tr ' ' '\\n' </proc/cmdline | grep -x -e e2e.live=1 -e root=.* -e rd.live.image -e rd.live.dir=.* -e rd.live.squashimg=.* | sort",
		"e2e.live=1\nrd.live.dir=liveos\nrd.live.image\nrd.live.squashimg=rootfs.img\nroot=live:LABEL=CDROM",
	},
	{"cat /run/initramfs/live/docs/readme.txt", "medium"},
}, systemProbes...)

func iso(t *testing.T, image, config string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.iso")
	customize(t, image, config, out, "iso")
	return out
}

func bootLive(t *testing.T, o vm.Options, probes []probe) {
	t.Helper()
	if o.Netboot == "" {
		o.Format = "iso"
	}
	if o.MemoryMiB == 0 {
		o.MemoryMiB = 2048
	}
	bootWith(t, o, probes)
}

// TestISOFromCD boots with Secure Boot, in a signed chain from the firmware to the kernel.
func TestISOFromCD(t *testing.T) {
	medium := iso(t, base(t, "debian12-live"), isoConfig)
	bootLive(t, vm.Options{Image: medium, Firmware: vm.UEFI, Secure: true}, append([]probe{
		{"od -An -tu1 -j4 -N1 /sys/firmware/efi/efivars/SecureBoot-* | tr -d ' '", "1"},
	}, liveProbes...))
}

// TestISOElsewhere boots one medium in all other ways.
func TestISOElsewhere(t *testing.T) {
	full(t)
	medium := iso(t, base(t, "debian12-live"), isoConfig)
	for _, o := range []vm.Options{{Firmware: vm.BIOS, Drive: vm.CD}, {Firmware: vm.BIOS, Drive: vm.USB}, {Firmware: vm.UEFI, Drive: vm.USB}} {
		o.Image = medium
		t.Run(string(o.Firmware)+"-"+string(o.Drive), func(t *testing.T) { bootLive(t, o, liveProbes) })
	}
}

// TestISOMadeAnew adds to a medium without unpacking its system.
func TestISOMadeAnew(t *testing.T) {
	full(t)
	medium := iso(t, base(t, "debian12-live"), isoConfig)
	again := iso(t, medium, "iso:\n  kernelCommandLine:\n    extraCommandLine: [e2e.again=1]\n  additionalFiles:\n  - content: again\n    destination: /docs/again\n")
	bootLive(t, vm.Options{Image: again, Firmware: vm.BIOS, Drive: vm.USB}, append([]probe{
		{"tr ' ' '\\n' </proc/cmdline | grep -x e2e.again=1; cat /run/initramfs/live/docs/again", "e2e.again=1\nagain"},
	}, liveProbes...))
}

// TestISOToDisk changes the system of a medium, and makes a disk image and another medium of it.
func TestISOToDisk(t *testing.T) {
	full(t)
	medium := iso(t, base(t, "debian12-live"), isoConfig)
	disk, again := filepath.Join(t.TempDir(), "disk.qcow2"), filepath.Join(t.TempDir(), "again.iso")
	customize(t, medium, "os:\n  hostname: unpacked\n", disk, "qcow2", "--output", "iso="+again)
	boot(t, disk, "qcow2", []probe{
		{"hostname; cat /etc/live-hello; findmnt -no FSTYPE /; findmnt -no FSTYPE /boot/efi", "unpacked\nhello\next4\nvfat"},
		{"tr ' ' '\\n' </proc/cmdline | grep -c -e e2e.live -e rd.live; grep -c e2e.disk=1 /proc/cmdline", "0\n1"},
	})
	bootLive(t, vm.Options{Image: again, Firmware: vm.UEFI}, []probe{
		{"hostname; cat /etc/live-hello; findmnt -no FSTYPE /", "unpacked\nhello\noverlay"},
		{"grep -c -e 'e2e.disk=1.*e2e.live=1' /proc/cmdline", "1"},
	})
}

func TestISOFullOS(t *testing.T) {
	full(t)
	medium := iso(t, base(t, "debian12-live"), strings.Replace(isoConfig, "iso:\n", "iso:\n  initramfsType: full-os\n", 1))
	bootLive(t, vm.Options{Image: medium, Firmware: vm.UEFI, MemoryMiB: 3072}, append([]probe{
		{"findmnt -no FSTYPE / | grep -c -e rootfs -e tmpfs -e ramfs", "1"}, {"grep -c root= /proc/cmdline", "0"},
	}, systemProbes...))
}

// TestPersistence writes the medium to a stick with free space and reboots, twice: with the entry that
// keeps changes, and with the one that does not.
func TestPersistence(t *testing.T) {
	full(t)
	stick := iso(t, base(t, "debian12-live"), isoConfig+"  persistence:\n    label: changes\n")
	if err := os.Truncate(stick, 2<<30); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	m, err := vm.Start(ctx, vm.Options{Image: stick, Format: "iso", Drive: vm.USB, Firmware: vm.UEFI, MemoryMiB: 2048})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, p := range []probe{
		{"echo first > /root/kept; sync; findmnt -no FSTYPE /run/initramfs/persistence", "ext4"},
		{"cat /root/kept; " + chooseEntry(t, stick, 2), "first"},
		{"cat /root/kept; findmnt -no FSTYPE /run/initramfs/persistence; hostname", "live-host"},
	} {
		if err := m.Login(ctx, "root", "root"); err != nil {
			t.Fatalf("%v\n%s", err, m.Console())
		}
		if got, _, err := m.Run(ctx, p.script); err != nil || strings.TrimSpace(got) != p.want {
			t.Fatalf("%s: %q, %v; want %s", p.script, got, err, p.want)
		}
		if _, _, err := m.Run(ctx, "systemctl reboot --no-block"); err != nil {
			t.Fatal(err)
		}
	}
}

// chooseEntry is a command in the guest that makes another entry of the stick's menu the default. It
// stands for the user, who would press a key.
func chooseEntry(t *testing.T, stick string, entry int) string {
	t.Helper()
	return fmt.Sprintf("printf %d | dd of=/dev/sda bs=1 seek=%d conv=notrunc,fsync status=none", entry, defaultEntry(t, stick))
}

// defaultEntry is where the number of the default entry stands on a medium.
func defaultEntry(t *testing.T, medium string) int {
	t.Helper()
	const before = `set default="`
	data, err := os.ReadFile(medium)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte(before+`0"`))
	if at < 0 {
		t.Fatal("the menu has no default entry")
	}
	return at + len(before)
}

// TestTwoKernels boots either kernel, by the entries without persistence: they stand at the menu's top.
func TestTwoKernels(t *testing.T) {
	full(t)
	out := filepath.Join(t.TempDir(), "out.iso")
	config := strings.Replace(isoConfig, "os:\n", "os:\n  packages: {install: [linux-image-amd64, dracut-live, dmsetup, fdisk]}\n", 1)
	customize(t, base(t, "debian12-efi"), config+"  persistence: {label: changes}\n", out, "iso",
		"--deb-source", fixture.Debs(t, "linux-image-amd64", "dracut-live", "dmsetup", "fdisk"), "--disable-base-image-rpm-repos")
	at := int64(defaultEntry(t, out))
	medium, err := os.OpenFile(out, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer medium.Close()
	for entry, cloud := range map[string]string{"2": "1", "3": "0"} {
		if _, err := medium.WriteAt([]byte(entry), at); err != nil {
			t.Fatal(err)
		}
		bootLive(t, vm.Options{Image: out, Firmware: vm.UEFI, Drive: vm.Disk}, append([]probe{
			{"uname -r | grep -c cloud; ls /lib/modules | wc -l; ls /run/initramfs/live/boot/vmlinuz-* | wc -l", cloud + "\n2\n2"},
		}, liveProbes...))
	}
}

// bootstrapFolder makes a folder to boot from over the network, whose medium is offered by HTTP. The guest
// sees this host as 10.0.2.2.
func bootstrapFolder(t *testing.T, name, packages string, args ...string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "bootstrap")
	server := &http.Server{Handler: http.FileServer(http.Dir(folder)), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	config := strings.NewReplacer(
		"iso:", "pxe:\n  initramfsType: bootstrap\n  bootstrapBaseUrl: http://10.0.2.2:"+port, "/docs/readme.txt", "/readme.txt", "os:\n", "os:\n"+packages,
	).Replace(isoConfig)
	customize(t, base(t, name), config, folder, "pxe-dir", args...)
	return folder
}

func TestNetworkBoot(t *testing.T) {
	full(t)
	folder := bootstrapFolder(t, "debian12-live", "")
	bootLive(t, vm.Options{Netboot: folder}, append([]probe{
		{"findmnt -no FSTYPE /; tr ' ' '\\n' </proc/cmdline | grep -x e2e.live=1", "overlay\ne2e.live=1"},
	}, systemProbes...))

	archive := filepath.Join(t.TempDir(), "full.tar.gz")
	customize(t, base(t, "debian12-live"), strings.Replace(isoConfig, "iso:", "pxe:", 1), archive, "pxe-tar")
	unpacked := t.TempDir()
	if text, err := exec.Command("tar", "-C", unpacked, "-xzf", archive).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	bootLive(t, vm.Options{Netboot: unpacked, MemoryMiB: 3072}, systemProbes)
}

// TestLiveBootOverTheNetwork has live-boot download the medium, in an image whose dracut it replaces.
func TestLiveBootOverTheNetwork(t *testing.T) {
	full(t)
	folder := bootstrapFolder(t, "debian12-efi", "  packages: {install: [live-boot]}\n", "--deb-source", fixture.Debs(t, "live-boot"), "--disable-base-image-rpm-repos")
	bootLive(t, vm.Options{Netboot: folder}, append([]probe{
		{"findmnt -no FSTYPE /; tr ' ' '\\n' </proc/cmdline | grep -x -e e2e.live=1 -e boot=.* | sort", "overlay\nboot=live\ne2e.live=1"},
	}, systemProbes...))
}

// TestLiveBootISO makes a medium of an image with initramfs-tools, and of the kernel that drives more than virtual disks.
func TestLiveBootISO(t *testing.T) {
	full(t)
	out := filepath.Join(t.TempDir(), "out.iso")
	config := strings.Replace(isoConfig, "os:\n", "os:\n  packages: {install: [live-boot, linux-image-amd64]}\n", 1)
	customize(t, base(t, "debian12-bios"), config, out, "iso", "--deb-source", fixture.Debs(t, "live-boot", "linux-image-amd64"), "--disable-base-image-rpm-repos")
	bootLive(t, vm.Options{Image: out, Firmware: vm.BIOS, Drive: vm.CD}, append([]probe{
		{"findmnt -no FSTYPE /; cat /run/live/medium/docs/readme.txt", "overlay\nmedium"},
		{"tr ' ' '\\n' </proc/cmdline | grep -x -e e2e.live=1 -e root=.* -e boot=.* | sort", "boot=live\ne2e.live=1"},
	}, systemProbes...))
}

// TestAzureLinuxISO makes a live medium of an image that lacks what it takes, and brings that first.
func TestAzureLinuxISO(t *testing.T) {
	full(t)
	out := filepath.Join(t.TempDir(), "out.iso")
	packages := "os:\n  packages:\n    remove: [kernel]\n    install: [kernel-generic, dracut-live, device-mapper, grub2, grub2-pc]\n"
	customize(t, base(t, "azl3"), strings.Replace(isoConfig, "os:\n", packages, 1), out, "iso", "--rpm-source", base(t, "repo"), "--disable-base-image-rpm-repos")
	for _, o := range []vm.Options{
		{Firmware: vm.UEFI, Drive: vm.CD}, {Firmware: vm.BIOS, Drive: vm.USB}, {Firmware: vm.UEFI, Drive: vm.USB}, {Firmware: vm.BIOS, Drive: vm.CD},
	} {
		o.Image = out
		t.Run(string(o.Firmware)+"-"+string(o.Drive), func(t *testing.T) {
			bootLive(t, o, append([]probe{{"rpm -q kernel | grep -c ^kernel-; rpm -q --qf '%{NAME}\\n' kernel-generic", "0\nkernel-generic"}}, liveProbes...))
		})
	}
}
