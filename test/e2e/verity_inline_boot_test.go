//go:build boot

package e2e

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"imagecustomizer/test/fixture"
)

// inlineDisk lays a system out anew, with systemd 254, which finds hash trees behind filesystems.
const inlineDisk = sealedLayout + `    - {id: boot, type: xbootldr, label: boot, size: 300M}
    - {id: root, type: root, label: root, size: 700M}
    - {id: usr, type: usr, label: usr, size: 1200M}
    - {id: var, type: var, size: grow}
  verity:
  - {id: rootverity, name: root, dataDeviceId: root, hashDeviceId: root, corruptionOption: panic}
  - id: usrverity
    name: usr
    dataDeviceId: usr
    hashDeviceId: usr
    dataDeviceMountIdType: uuid
    hashDeviceMountIdType: part-label
    corruptionOption: panic
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: boot, type: ext4, mountPoint: /boot}
  - {deviceId: rootverity, type: ext4, mountPoint: {path: /, options: ro}}
  - {deviceId: usrverity, type: xfs, mountPoint: {path: /usr, options: ro}}
  - {deviceId: var, type: ext4, mountPoint: {path: /var, options: x-initrd.mount}}
os:
  bootloader: {resetType: hard-reset}
  packages:
    install: [cryptsetup-bin]
    update: [systemd, systemd-sysv, systemd-resolved, udev]
  hostname: sealed
  kernelCommandLine: {extraCommandLine: [console=ttyS0]}
` + etcOverlay

// sealInline makes an image with trees behind / and /usr, and a COSI in the same run.
func sealInline(t *testing.T, config string) (image, cosi string) {
	t.Helper()
	dir := t.TempDir()
	image, cosi = filepath.Join(dir, "image.raw"), filepath.Join(dir, "x.cosi")
	debs := []string{"cryptsetup-bin"}
	for _, p := range []string{"systemd", "systemd-sysv", "systemd-resolved", "udev"} {
		debs = append(debs, p+"/bookworm-backports")
	}
	customize(t, base(t, "debian12-efi"), config, image, "raw", "--output", "cosi="+cosi, "--cosi-compression-level", "1",
		"--deb-source", fixture.Debs(t, debs...), "--disable-base-image-rpm-repos")
	return image, cosi
}

// inlineOffsets are where the boot entries say that the trees begin, in bytes.
func inlineOffsets(t *testing.T, disk string) map[string]int64 {
	t.Helper()
	args, found := linuxLines.FindString(catFrom(t, disk, "boot", "/grub/grub.cfg")), map[string]int64{}
	for _, name := range []string{"root", "usr"} {
		m := regexp.MustCompile(` systemd\.verity_` + name + `_options=panic-on-corruption,hash-offset=(\d+)( |$)`).FindStringSubmatch(args)
		if m == nil {
			t.Fatalf("no offset for %s: %s", name, args)
		}
		found[name], _ = strconv.ParseInt(m[1], 10, 64)
	}
	return found
}

// inlineStatus picks from veritysetup status where data and tree are, in sectors: the tree itself, one block
// behind its superblock.
const inlineStatus = " | sed -nE 's/^ *(status|data device|size|mode|hash device|hash offset): *//p' | tr '\\n' ' '"

// bootInline boots an image and finds / and /usr sealed by trees in their own partitions.
func bootInline(t *testing.T, image string, more ...probe) {
	t.Helper()
	list := append([]probe{
		{"systemctl --version | sed -nE 's/^systemd ([0-9]+).*/\\1/p'", "254"},
		{"findmnt -nro SOURCE,FSTYPE /usr", "/dev/mapper/usr xfs"},
		{"find /usr -xdev -type f -exec cat {} + | wc -c | grep -c ........", "1"}, // reads all of it
	}, sealedProbes...)
	nodes := map[string]string{"root": "/dev/vda3", "usr": "/dev/vda4"}
	for name, at := range inlineOffsets(t, image) {
		list = append(list, probe{"veritysetup status " + name + inlineStatus,
			fmt.Sprintf("verified %s %d sectors readonly %s %d sectors", nodes[name], at/512, nodes[name], at/512+8)})
	}
	boot(t, image, "raw", append(list, more...))
}

// TestVerityInline boots a system whose hash trees lie behind / and /usr, and then with a byte of the data
// changed, and one of a tree.
func TestVerityInline(t *testing.T) {
	full(t)
	t.Parallel()
	image, cosi := sealInline(t, inlineDisk)
	verifyInline(t, image)
	at := inlineOffsets(t, image)
	if at["root"] != 694<<20 || at["usr"] != 1190<<20 { // the most that leaves room for the tree
		t.Errorf("the trees are at %v", at)
	}
	checkInlineCOSI(t, image, cosi)
	bootInline(t, image)
	for _, d := range []struct {
		name string
		at   int64
		want string
	}{
		{"root", beforeSuperblock, "roothash=: partition 3: block 0 of the data does not have the hash"},
		{"usr", at["usr"] + 4096, "usrhash=: partition 4: the hash tree is damaged at byte"},
	} {
		damaged := copyFile(t, image)
		flip(t, damaged, d.name, d.at)
		if status, text := run(t, "verify", damaged); status != 1 || !strings.Contains(text, d.want) {
			t.Errorf("verify does not say %q: %d\n%s", d.want, status, text)
		}
		bootTo(t, damaged, "dm-verity device corrupted")
	}
}

// verifyInline has veritysetup and verify judge both trees, and the filesystems' own programs what is before them.
func verifyInline(t *testing.T, disk string) map[string]string {
	t.Helper()
	h, at := hashes(t, disk), inlineOffsets(t, disk)
	for name, check := range map[string]string{"root": "e2fsck -fn", "usr": "xfs_repair -n"} {
		dir := filepath.Dir(extract(t, disk, name))
		sh(t, dir, fmt.Sprintf("%s %s; veritysetup verify %s %s %s --hash-offset %d", check, name, name, name, h[name], at[name]))
	}
	if status, text := run(t, "verify", disk); status != 0 {
		t.Errorf("verify: %d\n%s", status, text)
	}
	return h
}

// checkInlineCOSI finds in a COSI where the trees are, and the same partitions as on the disk.
func checkInlineCOSI(t *testing.T, image, cosi string) {
	t.Helper()
	dir, at := filepath.Dir(cosi), inlineOffsets(t, image)
	sh(t, dir, fromCOSI)
	for name, mountPoint := range map[string]string{"root": "/", "usr": "/usr"} {
		got := sh(t, dir, `jq -c '.images[] | select(.mountPoint == "`+mountPoint+`") | [.image.path == .verity.image.path, .verity.hashOffset]' cosi/metadata.json`)
		if want := fmt.Sprintf("[true,%d]", at[name]); got != want {
			t.Errorf("%s is %s in the COSI, want %s", name, got, want)
		}
		if !same(t, image, dir+"/disk.raw", name) {
			t.Errorf("partition %s is not the same in the COSI", name)
		}
	}
	if status, text := run(t, "verify", dir+"/disk.raw"); status != 0 {
		t.Errorf("verify of the COSI put together: %d\n%s", status, text)
	}
}

// TestVerityInlineSealedAgain boots what a run that left the trees alone, and then one that made them anew, made
// of such a system.
func TestVerityInlineSealedAgain(t *testing.T) {
	full(t)
	t.Parallel()
	image, _ := sealInline(t, inlineDisk)
	kept, again := filepath.Join(t.TempDir(), "kept.raw"), filepath.Join(t.TempDir(), "again.raw")
	customize(t, image, "os: {imageHistory: none}\n", kept, "raw")
	customize(t, kept, "storage: {reinitializeVerity: all}\nos: {imageHistory: none}\n", again, "raw")
	bootInline(t, again)
}
