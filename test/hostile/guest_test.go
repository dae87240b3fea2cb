//go:build boot

package hostile

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/vm"
	"imagecustomizer/test/tinydisk"
)

// debian is the path of the base image.
func debian(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("../base/debian.sh", "debian12-efi")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// guest boots Debian with a second disk that holds a folder, mounted at /srv/test.
func guest(t *testing.T, ctx context.Context, dir string) *vm.Machine {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data.raw")
	tinydisk.Run(t, "", "mkfs.ext4", "-q", "-m", "0", "-d", dir, data, "6G")
	m, err := vm.Start(ctx, vm.Options{Image: debian(t), Format: "raw", Data: data, MemoryMiB: 2048})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if err := m.Login(ctx, "root", "root"); err != nil {
		t.Fatal(err)
	}
	run(t, ctx, m, "mkdir -p /srv/test && mount /dev/vdb /srv/test && dmesg -C")
	return m
}

func run(t *testing.T, ctx context.Context, m *vm.Machine, script string) string {
	t.Helper()
	out, status, err := m.Run(ctx, script)
	if err != nil || status != 0 {
		t.Fatalf("in the guest: %s: status %d, %v\n%s", script, status, err, out)
	}
	return out
}

// inGuest is a config for a real system; what it does to the EFI system partition goes through the
// guest's own vfat.
const inGuest = `
os:
  hostname: from-the-guest
  users:
  - {name: alice, uid: 1501}
  additionalFiles:
  - {content: "hello\n", destination: /boot/efi/hello.txt}
  services:
    disable: [ssh]
  kernelCommandLine:
    extraCommandLine: [in.guest=1]
scripts:
  postCustomization:
  - content: id -u alice > /etc/alice
`

// guestChecks are shell commands for the guest, after a run, and what they print.
var guestChecks = []struct{ script, want string }{
	{"for p in mcopy qemu-img udevadm; do command -v $p; done", "/usr/bin/udevadm"}, // so FAT was the kernel's, and udev is there
	{"cat root/etc/hostname", "from-the-guest"},
	{"cat root/etc/alice", "1501"},
	{"cat esp/hello.txt", "hello"},
	{"grep -c in.guest=1 root/boot/grub/grub.cfg | sed 's/[1-9].*/found/'", "found"},
	{"ls root/_imageconfigs 2>/dev/null | wc -l", "0"},
}

// left prints what a run has left: loop devices, mounts and processes.
const left = `losetup -n -O BACK-FILE; grep -F -e .mic -e imagecustomizer /proc/self/mountinfo; pgrep -a imagecustom; true`

// TestScriptsInAGuestAndARealImage tries everything on a machine that may be harmed, and customizes a real image on one
// whose kernel scans partitions, has vfat and runs udev, as those of most users do.
func TestScriptsInAGuestAndARealImage(t *testing.T) {
	if os.Getenv("FULL") == "" {
		t.Skip("FULL=1 only: it takes several minutes where the guest is emulated")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	dir := t.TempDir()
	list := fit(anywhere, guestOnly)
	lay(t, dir, "/srv/test", list)
	write(t, dir+"/guest/config.yaml", inGuest)
	tinydisk.Run(t, "", "cp", "--sparse=always", debian(t), dir+"/guest/base.raw")
	m := guest(t, ctx, dir)
	t.Run("scripts", func(t *testing.T) {
		// In a PID namespace of its own, even the plain half could not set what Ctrl-Alt-Del does.
		out := run(t, ctx, m, drive("/srv/test", "-m -i -n")+" </dev/null | cat")
		judge(t, out, list)
		if t.Failed() {
			log, _, _ := m.Run(ctx, "cat /srv/test/log /srv/test/tried")
			t.Logf("%s\n%s", out, log)
		}
	})
	t.Run("customize", func(t *testing.T) {
		start := time.Now()
		out, status, err := m.Run(ctx, `cd /srv/test/guest && before=$(stat -c '%y %z %b' base.raw) && ../imagecustomizer customize --build-dir build --image-file base.raw \
			--config-file config.yaml --output-image-file out.raw --output-image-format raw --package-cache-dir cache 2>&1 && [ "$before" = "$(stat -c '%y %z %b' base.raw)" ]`)
		if err != nil || status != 0 {
			t.Fatalf("status %d, %v\n%s", status, err, out)
		}
		t.Logf("%.0f s\n%s", time.Since(start).Seconds(), out)
		if got := run(t, ctx, m, left); got != "" {
			t.Errorf("the run left\n%s", got)
		}
		run(t, ctx, m, "cd /srv/test/guest && disk=$(losetup -f -P --show out.raw) && udevadm settle && mkdir root esp && mount -o ro ${disk}p2 root && mount -o ro ${disk}p1 esp")
		for _, c := range guestChecks {
			if got, _, err := m.Run(ctx, "cd /srv/test/guest; "+c.script); err != nil || strings.TrimSpace(got) != c.want {
				t.Errorf("%s: %q, %v; want %q", c.script, got, err, c.want)
			}
		}
	})
}
