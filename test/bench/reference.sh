#!/usr/bin/env bash
# What a careful person writes without this tool: change an image by hand. The opponent in "make
# bench". Usage: reference.sh IN FORMAT OUT SCRIPT; SCRIPT runs in the image, may be empty.
set -euo pipefail
in=$1 format=$2 out=$3 script=$4
dir=$(mktemp -d /var/tmp/reference-XXXXXX)
loop=
cleanup() {
	if mountpoint -q "$dir/root"; then umount -R "$dir/root"; fi
	if [ -n "$loop" ]; then losetup -d "$loop"; fi
	rm -rf --one-file-system "$dir"
}
trap cleanup EXIT
mkdir "$dir/root"
qemu-img convert -f "$format" -O raw "$in" "$dir/disk.raw"
# The root filesystem is the largest partition.
read -r start size < <(sfdisk --json "$dir/disk.raw" | python3 -c '
import json, sys
p = max(json.load(sys.stdin)["partitiontable"]["partitions"], key=lambda p: p["size"])
print(p["start"] * 512, p["size"] * 512)')
loop=$(losetup --find --show --offset "$start" --sizelimit "$size" "$dir/disk.raw")
mount "$loop" "$dir/root"
for fs in proc sys dev; do mount --rbind --make-rslave "/$fs" "$dir/root/$fs"; done
if [ -n "$script" ]; then chroot "$dir/root" /bin/sh -c "$script"; fi
umount -R "$dir/root"
e2fsck -fn "$loop" >/dev/null
losetup -d "$loop"
loop=
qemu-img convert -f raw -O "$format" "$dir/disk.raw" "$out"
sync "$out"
