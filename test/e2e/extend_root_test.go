//go:build root

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExtendedInPlace grows the root of an image and adds swap, /var and a filesystem inside that: the old
// partitions and files are the same ones afterwards, and only what lay below /var has moved.
func TestExtendedInPlace(t *testing.T) {
	t.Parallel()
	formats := []string{"raw"}
	if os.Getenv("FULL") != "" {
		formats = append(formats, "qcow2")
	}
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			image := base(t, "debian12-efi")
			if format != "raw" {
				image = convert(t, image, format)
			}
			out := filepath.Join(t.TempDir(), "out.raw")
			before := sh(t, ".", "stat -c '%y %s' "+image)
			customize(t, image, extendedLayout, out, "raw")
			if after := sh(t, ".", "stat -c '%y %s' "+image); after != before {
				t.Errorf("the base image was %s and is %s", before, after)
			}
			checkExtended(t, base(t, "debian12-efi"), out)
		})
	}
}

func checkExtended(t *testing.T, was, is string) {
	t.Helper()
	const ids = `parts=$(sfdisk -J DISK | jq -r '.partitiontable.partitions[:2][] | "\(.start) \(.uuid) \(.name) \(.type)"'); echo "$parts"
		for start in $(cut -d' ' -f1 <<<"$parts"); do blkid -p -O $((start * 512)) -s UUID -o value DISK; done
		debugfs -R 'stat /usr/bin/bash' "DISK?offset=$((65 << 20))" 2>/dev/null | sed -n 1,8p`
	if a, b := sh(t, ".", strings.ReplaceAll(ids, "DISK", was)), sh(t, ".", strings.ReplaceAll(ids, "DISK", is)); a != b || !strings.Contains(a, "Inode") {
		t.Errorf("was\n%s\nis\n%s", a, b)
	}
	sh(t, t.TempDir(), strings.ReplaceAll(`
		sgdisk -v DISK | grep 'No problems found'
		test "$(stat -c %s DISK)" = $((5 << 30))
		part() { sfdisk -J DISK | jq -r ".partitiontable.partitions[$1 - 1] | \"skip=\(.start) count=\(.size)\"" ; }
		for n in 2 4 5; do dd if=DISK of=part$n bs=512 conv=sparse status=none $(part $n); done
		e2fsck -fn part2; e2fsck -fn part4; xfs_repair -n part5
		test "$(dumpe2fs -h part2 2>/dev/null | sed -n 's/^Block count: *//p')" = $((3200 << 8))
		debugfs -R 'ls -p /var' part2 2>/dev/null | awk -F/ '$6 !~ /^[.]+$/ && NF > 1 { print; bad = 1 } END { exit bad }'
		debugfs -R 'cat /lib/dpkg/status' part4 2>/dev/null | grep '^Package: bash$'
		test "$(debugfs -R 'cat /etc/hostname' part2 2>/dev/null)" = extended
		xfs_db -r -c 'ls /' part5 | grep faillog
		debugfs -R 'cat /etc/fstab' part2 2>/dev/null >fstab
		grep -q "^UUID=$(blkid -p -s UUID -o value part2) / ext4 errors=remount-ro 0 1$" fstab
		grep -q "^UUID=$(blkid -p -s UUID -o value part4) /var ext4" fstab
		grep -q '^PARTLABEL=logs /var/log xfs' fstab
		grep -q '^UUID=.* none swap sw 0 0$' fstab`, "DISK", is))
}

// TestShrunkXFSAndBtrfs has a disk of three kinds of filesystems shrunk, as a disk and in a COSI.
func TestShrunkXFSAndBtrfs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	customize(t, base(t, "debian12-efi"), shrunkLayout, dir+"/out.raw", "raw", "--output", "cosi="+dir+"/out.cosi", "--cosi-compression-level", "1")
	sh(t, dir, `
		sgdisk -v out.raw | grep 'No problems found'
		test $(($(stat -c %s out.raw) >> 20)) -lt 4600 # /var still begins where it did
		part() { sfdisk -J out.raw | jq -r ".partitiontable.partitions[$1 - 1] | \"skip=\(.start) count=\(.size)\""; }
		for n in 2 3 4; do dd if=out.raw of=part$n bs=512 conv=sparse status=none $(part $n); done
		size() { echo $(($(stat -c %s part$1) >> 20)); }
		test $(size 2) -lt 200
		test $(size 3) -lt 1200
		test $(size 4) -lt 600
		e2fsck -fn part2; xfs_repair -n part3; btrfs check --readonly part4
		mkdir cosi; tar -C cosi -xf out.cosi; zstd -q -d cosi/images/out_3.raw.zst -o again3
		cmp part3 again3`)
}
