//go:build boot

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// azureRepo are the flags that give a run the packages the Azure Linux-like base lacks.
func azureRepo(t *testing.T) []string {
	return []string{"--disable-base-image-rpm-repos", "--rpm-source", base(t, "repo")}
}

// usrSealed lays the Azure Linux-like system out with a sealed /usr, and shrinks what is around it.
const usrSealed = `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    partitions:
    - {id: esp, type: esp, size: 64M}
    - {id: boot, type: xbootldr, size: 300M}
    - {id: usr, type: usr, label: usr, size: 1200M}
    - {id: usrhash, type: usr-verity, label: usrhash, size: 16M}
    - {id: var, type: var, size: 1G}
    - {id: root, type: root, size: 1G}
  verity:
  - {id: usrverity, name: usr, dataDeviceId: usr, hashDeviceId: usrhash, corruptionOption: panic}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: boot, type: ext4, mountPoint: /boot}
  - {deviceId: usrverity, type: ext4, mountPoint: {path: /usr, options: ro}}
  - {deviceId: var, type: ext4, mountPoint: /var}
  - {deviceId: root, type: ext4, mountPoint: /}
  shrink: {headroom: 64M}
os:
  bootloader: {resetType: hard-reset}
  hostname: reassembled
  kernelCommandLine: {extraCommandLine: [console=ttyS0]}
`

// fromCOSI puts a disk together from what x.cosi says of itself: the partition table first, then each
// partition where the table has it, and last the copy of the table at the end.
const fromCOSI = `
	mkdir cosi
	tar -C cosi -xf x.cosi
	cd cosi
	truncate -s "$(jq .disk.size metadata.json)" ../disk.raw
	put() { zstd -q -d -c "$1" | dd of=../disk.raw bs=1M conv=notrunc,sparse oflag=seek_bytes iflag=fullblock seek="$2" status=none; }
	put "$(jq -r '.disk.gptRegions[] | select(.type == "primary-gpt") | .image.path' metadata.json)" 0
	sgdisk -e ../disk.raw >/dev/null
	jq -r '.disk.gptRegions[] | select(.type == "partition") | "\(.number) \(.image.path)"' metadata.json | while read -r n path; do
		first=$(sgdisk -i "$n" ../disk.raw | sed -n 's/^First sector: \([0-9]*\).*/\1/p')
		put "$path" $((first * 512))
	done
	sgdisk -v ../disk.raw | grep 'No problems found'`

// TestCOSIPutTogetherBoots boots a disk made of the shrunk filesystems in a COSI, one of them sealed.
func TestCOSIPutTogetherBoots(t *testing.T) {
	full(t)
	t.Parallel()
	dir := t.TempDir()
	customize(t, base(t, "azl3"), usrSealed, dir+"/x.cosi", "cosi", "--cosi-compression-level", "3")
	sh(t, dir, fromCOSI)
	if p := partitions(t, dir+"/disk.raw")["usr"]; p.size >= 1200<<20 {
		t.Errorf("the partition of /usr has %d MiB still", p.size>>20)
	}
	boot(t, dir+"/disk.raw", "raw", []probe{
		{mounts, "/ ext4\n/boot ext4\n/boot/efi vfat\n/usr ext4\n/var ext4"},
		{"veritysetup status usr" + verityStatus, "VERITY verified readonly"},
		{"findmnt -nro SOURCE /usr", "/dev/mapper/usr"},
		{"touch /usr/x 2>&1 | grep -c 'Read-only file system'", "1"},
		{"touch /x /var/x && hostname", "reassembled"},
		{notFull, ""},
	})
}

// notFull prints filesystems that were not shrunk to what they hold and 64 MiB, or to less.
const notFull = `df --output=target,avail -B1M / /var | awk 'NR > 1 && ($2 < 20 || $2 > 160)'`

// partsByName is a layout whose files name no partition by its UUID, which split outputs do not hold.
const partsByName = `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    partitions:
    - {id: esp, type: esp, size: 64M}
    - {id: boot, label: boot, size: 512M}
    - {id: var, type: var, size: 1G}
    - {id: root, type: root, size: 2G}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: {path: /boot/efi, idType: uuid}}
  - {deviceId: boot, type: ext4, mountPoint: {path: /boot, idType: part-label}}
  - {deviceId: var, type: btrfs, mountPoint: {path: /var, idType: uuid}}
  - {deviceId: root, type: ext4, mountPoint: {path: /, idType: uuid}}
os:
  bootloader: {resetType: hard-reset}
  hostname: reassembled
  kernelCommandLine: {extraCommandLine: [console=ttyS0]}
`

// fromParts puts a disk together from x_1.raw.zst to x_4.raw.zst, each in a partition as large as it
// is, but for 64 MiB more behind the root, to which the filesystem is then grown.
const fromParts = `
	zstd -q -d x_?.raw.zst
	truncate -s 4G disk.raw
	sgdisk -n 1:0:+$(($(stat -c %s x_1.raw) >> 10))K -t 1:ef00 -n 2:0:+$(($(stat -c %s x_2.raw) >> 10))K -c 2:boot \
		-n 3:0:+$(($(stat -c %s x_3.raw) >> 10))K -n 4:0:+$(($(stat -c %s x_4.raw) / 1024 + 65536))K disk.raw >/dev/null
	for n in 1 2 3 4; do
		first=$(sgdisk -i $n disk.raw | sed -n 's/^First sector: \([0-9]*\).*/\1/p')
		truncate -s "$(sgdisk -i $n disk.raw | sed -n 's/^Partition size: \([0-9]*\).*/\1/p' | awk '{print $1 * 512}')" x_$n.raw
		test $n != 4 || { e2fsck -fp x_4.raw; resize2fs x_4.raw; } >/dev/null 2>&1
		dd if=x_$n.raw of=disk.raw bs=1M conv=notrunc,sparse oflag=seek_bytes seek=$((first * 512)) status=none
	done
	sgdisk -v disk.raw | grep 'No problems found'`

// TestSplitPutTogetherBoots boots a disk made of split partitions with shrunk filesystems.
func TestSplitPutTogetherBoots(t *testing.T) {
	full(t)
	t.Parallel()
	dir := t.TempDir()
	args := []string{
		"--build-dir", dir + "/build", "--image-file", base(t, "debian12-efi"), "--output-image-file", dir + "/x.raw",
		"--output-split-partitions-format", "raw-zstd", "--shrink-filesystems", "--config-file", writeConfig(t, partsByName),
	}
	if status, text := run(t, args...); status != 0 {
		t.Fatalf("exit %d\n%s", status, text)
	}
	if files := sh(t, dir, "ls x*"); files != "x_1.raw.zst\nx_2.raw.zst\nx_3.raw.zst\nx_4.raw.zst" {
		t.Fatalf("wrote %s", files)
	}
	sh(t, dir, fromParts)
	boot(t, dir+"/disk.raw", "raw", []probe{
		{mounts, "/ ext4\n/boot ext4\n/boot/efi vfat\n/var btrfs"},
		{"df --output=target,size -B1M / /boot /var | awk 'NR > 1 && $2 > ($1 == \"/\" ? 1500 : 450)'", ""},
		{"hostname", "reassembled"},
	})
}

// azureBtrfs lays the Azure Linux-like system out in subvolumes of a btrfs.
const azureBtrfs = `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    partitions:
    - {id: esp, type: esp, size: 64M}
    - {id: boot, type: xbootldr, size: 300M}
    - {id: root, type: root, size: 1500M}
    - {id: swap, type: swap, size: 64M}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: boot, type: ext4, mountPoint: /boot}
  - deviceId: root
    type: btrfs
    btrfs:
      subvolumes:
      - {path: root, mountPoint: {path: /, idType: uuid}}
      - {path: home, mountPoint: {path: /home, idType: uuid}}
      - {path: var, mountPoint: {path: /var, idType: uuid, options: "nodev,nosuid"}}
os:
  packages: {install: [btrfs-progs]}
  bootloader: {resetType: hard-reset}
  kernelCommandLine: {extraCommandLine: ["console=ttyS0", "chain.first=1"]}
`

// TestChainOfThreeRuns lays a system out anew, grows what came out, and gives that other identifiers,
// with another kernel; what comes out last boots.
func TestChainOfThreeRuns(t *testing.T) {
	full(t)
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	customize(t, base(t, "azl3"), azureBtrfs, file("first.qcow2"), "qcow2", azureRepo(t)...)
	customize(t, file("first.qcow2"), `
storage: {resizeDisk: {freeSpace: 3G}}
os:
  hostname: chain
  packages: {install: [jq], update: [kernel]}
  kernelCommandLine: {extraCommandLine: [chain.second=1]}
`, file("second.vhdx"), "vhdx", azureRepo(t)...)
	before := identifiers(t, raw(t, file("second.vhdx"), "vhdx"))
	customize(t, file("second.vhdx"), `
storage: {resetPartitionsUuidsType: reset-all}
os:
  bootloader: {resetType: hard-reset}
  kernelCommandLine: {extraCommandLine: ["console=ttyS0", "chain.third=1"]}
`, file("third.raw"), "raw")
	for i, id := range identifiers(t, file("third.raw")) {
		if strings.EqualFold(id, before[i]) {
			t.Errorf("%s stays", id)
		}
	}
	boot(t, file("third.raw"), "raw", []probe{
		{mounts, "/ btrfs\n/boot ext4\n/boot/efi vfat\n/home btrfs\n/var btrfs"},
		{"findmnt -no FSROOT /; findmnt -no FSROOT /var", "/root\n/var"},
		{"findmnt -no OPTIONS /var | grep -c -e nodev,nosuid -e nosuid,nodev", "1"},
		{"df --output=avail -B1M / | awk 'NR > 1 && $1 < 2700'", ""},
		{"swapon --show=NAME --noheadings | wc -l", "1"},
		{"grep -o 'chain[.][a-z]*=1' /proc/cmdline", "chain.third=1"}, // a hard reset forgets
		{"hostname; echo '[1]' | jq -c .; uname -r | cut -d. -f1,2; rpm -q kernel | wc -l", "chain\n[1]\n6.12\n2"},
		{"grep -c toolVersion /usr/share/image-customizer/history.json", "3"},
	})
}
