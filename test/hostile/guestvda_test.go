//go:build boot

package hostile

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/vm"
	"imagecustomizer/test/fixture"
	"imagecustomizer/test/tinydisk"
)

// smaller takes away what the runs of this test do not need, so that an emulated machine gets through them: it has
// 450 MB left of a system of 1 GB. The initramfs goes, too, since what replaces it must not have fewer drivers.
const smaller = `cd /srv/test/guest && dpkg -i debs/*.deb >/dev/null && mkdir m && disk=$(losetup -f -P --show base.raw) &&
udevadm settle && mount ${disk}p2 m && (
	cd m/usr && rm -rf share/locale share/doc share/man lib/python3* lib/udev/hwdb* &&
	cd lib/modules/* && find kernel -name '*.ko' | grep -vE 'kernel/(lib|crypto|arch)/|fs/(isofs|overlayfs|squashfs|fat|nls|ext4|jbd2)/|fs/[a-z]*\.ko|drivers/(block|virtio|cdrom|scsi|ata|md|nvme|usb|hid)/' |
		xargs rm && depmod -b ../../../.. "${PWD##*/}" && rm /srv/test/guest/m/boot/initrd.img-* &&
	printf 'echo as a script\n' >/srv/test/guest/m/opt/x.canary && chmod +x /srv/test/guest/m/opt/x.canary
) && chroot m /opt/x.canary && fstrim m && umount m && losetup -d $disk && rmdir m`

// registered has the guest's kernel run what ends in .canary by a program of the guest, wherever that is seen.
const registered = `cp /bin/echo /srv/test/echo && ls /proc/sys/fs/binfmt_misc >/dev/null && modprobe binfmt_misc &&
{ [ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc; } &&
echo ':canary:E::canary::/srv/test/echo:F' >/proc/sys/fs/binfmt_misc/register`

// state is what a run must leave as it was, and what shows a process of ours.
const state = `udevadm settle; losetup -a; findmnt -rn -o TARGET,SOURCE,FSTYPE | sort; ls /dev | grep -E '^(vda|image-)' | sort
ps -eo args | grep -E 'imagecustom|__worker|/srv/test|xorriso|mksquashfs|mkfs' | grep -v grep; true`

// onVDA are runs one after the other, on a machine whose own disk has the names that the image's disk has inside.
var onVDA = []struct {
	name, base, config, format string
	want                       map[string]string // what scripts print after the run, with the output at m and what it has at n
}{
	{"files", "base.raw", `
os:
  hostname: from-vda
  additionalFiles:
  - {content: "hello\n", destination: /boot/efi/hello.txt}
scripts:
  postCustomization:
  - content: |
      /opt/x.canary >/etc/canary 2>/dev/null; echo $? >>/etc/canary
`, "raw", map[string]string{
		"cat m/etc/hostname; echo; cat m/etc/canary": "from-vda\n126", // the kernel finds the registered program, and Landlock refuses it
		"cat n/hello.txt": "hello",
	}},
	{"repartition", "base.raw", `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    maxSize: 2G
    partitions:
    - {id: esp, type: esp, size: 80M}
    - {id: root, type: root, size: grow}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: root, type: ext4, mountPoint: /}
os:
  hostname: laid-out
  bootloader: {resetType: hard-reset}
`, "raw", map[string]string{
		"cat m/etc/hostname":                                "laid-out",
		"ls n/EFI/debian | grep -c -e shimx64 -e grubx64":   "2",
		"findmnt -no FSTYPE,SIZE n | tr -s ' ' | cut -c1-6": "vfat 7",
	}},
	{"iso", "base.raw", `
iso:
  additionalFiles:
  - {content: "medium\n", destination: /docs/readme.txt}
`, "iso", map[string]string{
		"cat m/docs/readme.txt":                  "medium",
		"findmnt -no FSTYPE m":                   "iso9660",
		"ls n/opt":                               "x.canary",
		"ls m/boot m/EFI >/dev/null && echo yes": "yes",
	}},
	{"iso-as-base", "iso.iso", "os: {hostname: again}\n", "iso", map[string]string{
		"cat n/etc/hostname":    "again",
		"cat m/docs/readme.txt": "medium",
	}},
	{"iso-to-disk", "iso-as-base.iso", `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    maxSize: 2G
    partitions:
    - {id: esp, type: esp, size: 80M}
    - {id: root, type: root, size: grow}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: root, type: ext4, mountPoint: /}
os: {bootloader: {resetType: hard-reset}}
`, "raw", map[string]string{
		"cat m/etc/hostname":                              "again",
		"ls n/EFI/debian | grep -c -e shimx64 -e grubx64": "2",
	}},
}

// shown mounts an output at m, and its ESP, or the system on a medium, at n.
func shown(name, format string) string {
	if format == "iso" {
		return "cd /srv/test/guest && mkdir -p m n && mount -o loop,ro " + name + " m && mount -o loop,ro m/liveos/rootfs.img n"
	}
	return "cd /srv/test/guest && mkdir -p m n && disk=$(losetup -f -P --show -r " + name + ") && udevadm settle && mount -o ro ${disk}p2 m && mount -o ro ${disk}p1 n"
}

const hidden = "cd /srv/test/guest && umount n m && losetup -D && udevadm settle"

// TestHostWhoseDiskIsVDA has a machine whose own disk is /dev/vda, with /dev/vda1 and /dev/vda2 mounted and in use,
// make filesystems and media of images whose disks have these names for programs. Nothing may be refused for that.
func TestHostWhoseDiskIsVDA(t *testing.T) {
	if os.Getenv("FULL") == "" {
		t.Skip("FULL=1 only: it takes many minutes where the guest is emulated")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Minute)
	defer cancel()
	dir := t.TempDir()
	for _, c := range onVDA {
		write(t, dir+"/guest/"+c.name+".yaml", c.config)
	}
	tinydisk.Run(t, "", "cp", fixture.Binary(t), dir+"/imagecustomizer")
	tinydisk.Run(t, "", "cp", "-r", fixture.Debs(t, "xorriso", "squashfs-tools", "fdisk", "mtools"), dir+"/guest/debs")
	tinydisk.Run(t, "", "cp", "--sparse=always", fixture.Base(t, "debian12-live"), dir+"/guest/base.raw")
	m := guest(t, ctx, dir)
	if got := run(t, ctx, m, "findmnt -no SOURCE /; findmnt -no SOURCE /boot/efi"); got != "/dev/vda2\n/dev/vda1\n" {
		t.Fatalf("the guest has mounted %s", got)
	}
	run(t, ctx, m, smaller)
	run(t, ctx, m, registered)
	if got := run(t, ctx, m, "cp /bin/true /tmp/x.canary && /tmp/x.canary"); got != "/tmp/x.canary\n" {
		t.Fatalf("the interpreter is not used in the guest itself: %s", got)
	}
	for _, c := range onVDA {
		t.Run(c.name, func(t *testing.T) {
			customizeOnVDA(t, ctx, m, c.name, c.base, c.format)
			run(t, ctx, m, shown(c.name+"."+c.format, c.format))
			for script, want := range c.want {
				if got, _, err := m.Run(ctx, "cd /srv/test/guest; "+script); err != nil || strings.TrimSpace(got) != want {
					t.Errorf("%s: %q, %v; want %q", script, got, err, want)
				}
			}
			run(t, ctx, m, hidden)
		})
	}
}

// customizeOnVDA has a run that succeeds and leaves nothing.
func customizeOnVDA(t *testing.T, ctx context.Context, m *vm.Machine, name, base, format string) {
	t.Helper()
	before, start := run(t, ctx, m, state), time.Now()
	out, status, err := m.Run(ctx, "cd /srv/test/guest && ../imagecustomizer customize --build-dir build --image-file "+base+
		" --config-file "+name+".yaml --output-image-file "+name+"."+format+" --output-image-format "+format+" --package-cache-dir cache 2>&1")
	if err != nil || status != 0 {
		t.Fatalf("status %d, %v\n%s", status, err, out)
	}
	t.Logf("%.0f s\n%s", time.Since(start).Seconds(), out)
	if after := run(t, ctx, m, state); after != before {
		t.Errorf("the run left\n%s\nbefore it there was\n%s", after, before)
	}
}
