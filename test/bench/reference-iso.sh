#!/usr/bin/env bash
# What a careful person writes without this tool: a live medium of an image, by hand. The opponent in
# "make bench". Usage: reference-iso.sh IN OUT
set -euo pipefail
[ -n "${inside:-}" ] || inside=1 exec unshare --mount --propagation private "$0" "$@"
in=$1 out=$2
dir=$(mktemp -d /var/tmp/reference-XXXXXX)
tree=$dir/tree loop=
cleanup() {
	for m in "$tree/dev" "$tree/proc" "$tree/sys" "$dir/disk"; do
		if mountpoint -q "$m"; then umount "$m"; fi
	done
	if [ -n "$loop" ]; then losetup -d "$loop"; fi
	rm -rf --one-file-system "$dir"
}
trap cleanup EXIT
mkdir -p "$dir/disk" "$tree" "$dir/medium/boot/grub" "$dir/medium/liveos"
cp --sparse=always "$in" "$dir/disk.raw"
# The root filesystem is the largest partition.
read -r start size < <(sfdisk --json "$dir/disk.raw" | python3 -c '
import json, sys
p = max(json.load(sys.stdin)["partitiontable"]["partitions"], key=lambda p: p["size"])
print(p["start"] * 512, p["size"] * 512)')
loop=$(losetup --find --show --offset "$start" --sizelimit "$size" "$dir/disk.raw")
mount "$loop" "$dir/disk"
cp -a "$dir/disk/." "$tree"
mount --bind /dev "$tree/dev"
mount -t proc proc "$tree/proc"
mount -t sysfs sysfs "$tree/sys"
for kernel in "$tree"/boot/vmlinuz-*; do
	version=${kernel##*/vmlinuz-}
	chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin dracut --force --no-hostonly \
		--add dmsquash-live --add-drivers "overlay isofs uas usb_storage xhci_pci" --kver "$version" /live-initrd >&2 # Debian has a link /initrd.img
	mv "$tree/live-initrd" "$dir/medium/boot/initrd.img-$version"
	cp "$kernel" "$dir/medium/boot"
done
umount "$tree/dev" "$tree/proc" "$tree/sys"
rm -rf "$tree/etc/fstab" "$tree/boot"
mkdir "$tree/boot"
mksquashfs "$tree" "$dir/medium/liveos/rootfs.img" -no-progress -xattrs >&2
args="root=live:LABEL=CDROM rd.live.image rd.live.dir=liveos rd.live.squashimg=rootfs.img rd.live.overlay.overlayfs"
cat >"$dir/medium/boot/grub/grub.cfg" <<EOF
menuentry live {
	linux /boot/vmlinuz-$version $args
	initrd /boot/initrd.img-$version
}
EOF
grub-mkrescue -V CDROM -o "$out" "$dir/medium" >&2 2>&1 ||
	xorriso -as mkisofs -R -J -iso-level 3 -V CDROM -o "$out" "$dir/medium" >&2
sync "$out"
