//go:build boot

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"imagecustomizer/internal/vm"
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
    extraCommandLine: [e2e.live=1]
  additionalFiles:
  - content: "medium\n"
    destination: /docs/readme.txt
`

// liveProbes find what isoConfig did, in a system that runs from a medium.
var liveProbes = []probe{
	{"hostname; cat /etc/live-hello", "live-host\nhello"},
	{"findmnt -no FSTYPE /", "overlay"},
	{"tr ' ' '\\n' </proc/cmdline | grep -x -e e2e.disk=1 -e e2e.live=1 -e root=.* -e rd.live.image -e rd.live.dir=.* -e rd.live.squashimg=.* | sort",
		"e2e.disk=1\ne2e.live=1\nrd.live.dir=liveos\nrd.live.image\nrd.live.squashimg=rootfs.img\nroot=live:LABEL=CDROM"},
	{"cat /run/initramfs/live/docs/readme.txt", "medium"},
	{"ls -d /etc/fstab /boot/* 2>/dev/null | wc -l", "0"},
	{"getcap /usr/bin/* 2>/dev/null | wc -l; touch /new && echo written", "0\nwritten"},
}

// iso makes an ISO image once.
func iso(t *testing.T, image, config string, more ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.iso")
	customize(t, image, config, out, "iso", more...)
	return out
}

func TestISOFromCD(t *testing.T) {
	medium := iso(t, base(t, "debian12-live"), isoConfig)
	bootLive(t, vm.Options{Image: medium, Firmware: vm.UEFI, Secure: true}, append(liveProbes,
		probe{"od -An -tu1 -j4 -N1 /sys/firmware/efi/efivars/SecureBoot-*", "1"}))
	if os.Getenv("FULL") == "" {
		return
	}
	for _, o := range []vm.Options{{Firmware: vm.BIOS}, {Firmware: vm.BIOS, Drive: vm.USB}, {Firmware: vm.UEFI, Drive: vm.USB}} {
		o.Image = medium
		t.Run(string(o.Firmware+"-")+string(o.Drive), func(t *testing.T) { bootLive(t, o, liveProbes) })
	}
}

func bootLive(t *testing.T, o vm.Options, probes []probe) {
	t.Helper()
	o.Format, o.MemoryMiB = "iso", 2048
	bootWith(t, o, probes)
}
