#!/usr/bin/env bash
# What a careful person writes without this tool: change an image by hand. The opponent in "make
# bench". Usage: reference.sh IN FORMAT OUT SCRIPT [PACKAGES]; SCRIPT runs in the image, may be empty;
# PACKAGES is a folder of .deb files to install.
set -euo pipefail
[ -n "${inside:-}" ] || inside=1 exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$0" "$@"
in=$1 format=$2 out=$3 script=$4 packages=${5:-}
dir=$(mktemp -d /var/tmp/reference-XXXXXX)
root=$dir/root
cleanup() {
	if mountpoint -q "$root"; then umount -R "$root"; fi
	rm -rf --one-file-system "$dir"
}
trap cleanup EXIT
mkdir "$root"
qemu-img convert -f "$format" -O raw "$in" "$dir/disk.raw"
# The root filesystem is the largest partition.
read -r start size < <(sfdisk --json "$dir/disk.raw" | python3 -c '
import json, sys
p = max(json.load(sys.stdin)["partitiontable"]["partitions"], key=lambda p: p["size"])
print(p["start"] * 512, p["size"] * 512)')
loop=$(losetup --find --show --offset "$start" --sizelimit "$size" "$dir/disk.raw")
exec 9<>"$loop" && losetup -d "$loop" # takes effect when the descriptor closes, however this script ends
# GRUB makes no menu for a device called loop, so the root gets another name in a /dev of the script's.
mkdir -p "$dir/dev/disk/by-uuid"
mount -t tmpfs dev "$dir/dev" && mkdir -p "$dir/dev/disk/by-uuid"
for name in null zero random urandom "${loop#/dev/}"; do cp -a "/dev/$name" "$dir/dev"; done
mknod "$dir/dev/vda" b $(stat -c '0x%t 0x%T' "$loop")
ln -s ../../vda "$dir/dev/disk/by-uuid/$(blkid -p -s UUID -o value "$loop")"
ln -s /proc/self/fd "$dir/dev/fd"
mount --move "$dir/dev" /dev
mount /dev/vda "$root"
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
if [ -n "$script" ]; then chroot "$root" /bin/sh -c "$script"; fi
if [ -n "$packages" ]; then
	mount -t tmpfs tmpfs "$root/tmp"
	mkdir "$root/tmp/packages"
	mount --bind -o ro "$packages" "$root/tmp/packages"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	chroot "$root" /usr/bin/env DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		sh -c 'apt-get -q -y --no-install-recommends install /tmp/packages/*.deb && apt-get clean' >&2
	rm "$root/usr/sbin/policy-rc.d"
fi
umount -R "$root"
e2fsck -fn "$loop" >/dev/null 2>&1
exec 9>&-
qemu-img convert -f raw -O "$format" "$dir/disk.raw" "$out"
sync "$out"
