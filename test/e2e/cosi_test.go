//go:build root

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/test/tinydisk"
)

// TestCOSIAndSplitOutputs writes both in one run and takes them apart with other tools: the COSI holds
// shrunk filesystems that e2fsck finds whole, the split partitions are those of the disk.
func TestCOSIAndSplitOutputs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	customize(t, base(t, "debian12-efi"), "os: {hostname: cosi-host}\n", dir+"/out/x.cosi", "cosi",
		"--cosi-compression-level", "1", "--output-split-partitions-format", "raw", "--output", "raw="+dir+"/out/whole.raw")
	files := sh(t, dir+"/out", "ls")
	if want := "whole.raw\nx.cosi\nx_1.raw\nx_2.raw"; files != want {
		t.Fatalf("wrote %q, want %q", files, want)
	}
	sh(t, dir+"/out", `
		start=$(sfdisk -J whole.raw | jq '.partitiontable.partitions[1].start')
		cmp -i 0:$((start * 512)) -n "$(stat -c %s x_2.raw)" x_2.raw whole.raw
		mkdir cosi; tar -C cosi -xf x.cosi; cd cosi
		jq -r '.disk.gptRegions[].image | "\(.sha384)  \(.path)"' metadata.json | sha384sum -c --quiet
		zstd -q -d images/x_2.raw.zst -o root.raw
		e2fsck -fn root.raw
		test "$(stat -c %s root.raw)" -lt "$(stat -c %s ../x_2.raw)"
		test "$(debugfs -R 'cat /etc/hostname' root.raw 2>/dev/null)" = cosi-host
		test "$(jq -r '.osPackages[] | select(.name == "bash") | .arch' metadata.json)" = amd64
		test "$(jq -r .id metadata.json)" = "$(debugfs -R 'cat /etc/image-customizer-release' root.raw 2>/dev/null | sed -n 's/^IMAGE_UUID="\(.*\)"/\1/p')"`)
	again := filepath.Join(dir, "again.cosi")
	if status, text := run(t, "convert", "--build-dir", dir+"/build", "--image-file", dir+"/out/whole.raw", "--output-image-file", again,
		"--output-image-format", "cosi", "--cosi-compression-level", "1"); status != 0 {
		t.Fatalf("exit %d\n%s", status, text)
	}
	const sizes = " metadata.json | jq -c '[.images[].image.uncompressedSize]'"
	if a, b := sh(t, dir, "tar -xOf out/x.cosi"+sizes), sh(t, dir, "tar -xOf again.cosi"+sizes); a != b || a == "[]" {
		t.Errorf("converted, the partitions have other sizes: %s, %s", a, b)
	}
	if a, b := sh(t, dir, "tar -xOf out/x.cosi metadata.json | jq -r .id"), sh(t, dir, "tar -xOf again.cosi metadata.json | jq -r .id"); a != b || a == "" {
		t.Errorf("converted, the image %s has another identifier, %s", a, b)
	}
}

// TestCOSIShrinksBtrfs has a btrfs shrunk where a run does it, with the host's folders out of reach.
func TestCOSIShrinksBtrfs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const menu = "menuentry 'x' {\n\tlinux /boot/vmlinuz-6.1.0 root=UUID=" + tinydisk.RootUUID + "\n}\n"
	tinydisk.Make(t, dir+"/disk.raw", tinydisk.System().With(tinydisk.Files{"boot/grub/grub.cfg": menu}))
	sh(t, dir, `
		truncate -s +700M disk.raw
		sgdisk -e -n 3:0:+600M disk.raw
		truncate -s 600M btrfs
		mkfs.btrfs -q btrfs
		dd if=btrfs of=disk.raw bs=1M conv=notrunc,sparse oflag=seek_bytes \
			seek=$((512 * $(sfdisk -J disk.raw | jq '.partitiontable.partitions[2].start'))) status=none`)
	customize(t, dir+"/disk.raw", "os: {hostname: x}\n", dir+"/x.cosi", "cosi", "--cosi-compression-level", "1")
	if size := sh(t, dir, "tar -xOf x.cosi metadata.json | jq '.disk.gptRegions[] | select(.number == 3) | .image.uncompressedSize'"); size != "268435456" {
		t.Errorf("the btrfs of 600 MiB is an image of %s bytes", size)
	}
}

func TestShrinkFilesystemsFlag(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, "os: {hostname: x}\n")
	for want, args := range map[string][]string{
		"is for split partitions":                       {"--output-image-format", "raw"},
		"cannot be combined with --output-image-format": {"--output-image-format", "raw", "--output-split-partitions-format", "raw"},
	} {
		dir := t.TempDir()
		args = append(args, "--shrink-filesystems", "--build-dir", dir+"/b", "--image-file", base(t, "debian12-efi"), "--config-file", config, "--output-image-file", dir+"/x.raw")
		if status, text := run(t, args...); status != 2 || !strings.Contains(text, want) {
			t.Errorf("exit %d, want %q\n%s", status, want, text)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	}
}

// TestResizeDisk grows and shrinks a disk; the filesystem follows.
func TestResizeDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	customize(t, base(t, "debian12-efi"), "storage: {resizeDisk: {freeSpace: 4G}}\n", dir+"/large.raw", "raw")
	customize(t, dir+"/large.raw", "storage: {shrink: {headroom: 100M}}\n", dir+"/small.raw", "raw")
	for name, limits := range map[string]string{"large": "-gt 4600", "small": "-lt 1200"} {
		sh(t, dir, "test $(( $(stat -c %s "+name+".raw) >> 20 )) "+limits+"; sgdisk -v "+name+".raw | grep -q 'No problems found'")
	}
}
