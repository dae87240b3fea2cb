#!/usr/bin/env bash
# Builds a Debian 12 base image and prints the path of the cached raw file as the last line.
# Usage: debian.sh VARIANT, one of:
#   debian12-efi    GPT: ESP, ext4 root; UEFI; dracut          debian12-bios  GPT: bios-grub, ext4 root; initramfs-tools
#   debian12-mbr    MBR: ext4 root; BIOS; initramfs-tools      debian12-parts ESP, /boot, /, /usr, /var (xfs), /home
#   debian12-btrfs  ESP, /boot, btrfs subvolumes @ and @home   debian12-xfs   ESP, /boot, xfs root
#   debian12-4k     as efi, with 4096-byte sectors; not bootable in QEMU's defaults
# Log in as root with the password "root" on ttyS0. It needs root and the host's own apt sources.
set -euo pipefail
variant=${1:?which variant?}
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/imagecustomizer/base
key=$(cat "$here/debian.sh" "$here/grub-bios.py" | sha256sum | cut -c1-12)
out=$cache/$variant-$key.raw
mkdir -p "$cache"

case $variant in
debian12-bios | debian12-mbr) kind=bios packages=grub-pc,initramfs-tools,zstd ;;
debian12-efi | debian12-parts | debian12-btrfs | debian12-xfs | debian12-4k) kind=efi packages=grub-efi-amd64,dracut ;;
*) echo "unknown variant $variant" >&2; exit 2 ;;
esac
tar=$cache/debian12-$kind-$key.tar

if [ "${2:-}" != inside ]; then
	if [ ! -e "$out" ]; then
		exec 9>"$cache/.lock-$kind"
		flock 9
		# Mounts and processes end with these namespaces, however the build ends.
		[ -e "$out" ] || unshare --mount --pid --fork --kill-child --mount-proc "$0" "$variant" inside >&2
	fi
	echo "$out"
	exit
fi

common=linux-image-cloud-amd64,systemd-sysv,openssh-server,dbus,systemd-resolved,iproute2,ca-certificates,sudo,kmod,procps
common=$common,e2fsprogs,xfsprogs,btrfs-progs,dosfstools
make_tar() {
	local mirror=()
	# An Ubuntu host has no Debian sources of its own.
	grep -qs '^ID=debian' /etc/os-release || mirror=("${DEBIAN_MIRROR:-}")
	mmdebstrap --quiet --format=tar --variant=important --include="$common,$packages" \
		--customize-hook='echo root:root | chroot "$1" chpasswd' \
		--customize-hook='printf "[Match]\nName=e*\n\n[Network]\nDHCP=yes\n" > "$1/etc/systemd/network/50-dhcp.network"' \
		--customize-hook='chroot "$1" systemctl enable systemd-networkd serial-getty@ttyS0' \
		--customize-hook='printf debian > "$1/etc/hostname"; rm -f "$1/etc/resolv.conf" "$1"/etc/ssh/ssh_host_*; : > "$1/etc/machine-id"' \
		--customize-hook='ln -s ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"' \
		--customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/cache/apt/archives/*.deb' \
		--customize-hook='printf "[Unit]\nBefore=ssh.service\nConditionPathExists=!/etc/ssh/ssh_host_ed25519_key\n[Service]\nType=oneshot\nExecStart=/usr/bin/ssh-keygen -A\n[Install]\nWantedBy=multi-user.target\n" > "$1/etc/systemd/system/ssh-keygen.service"; chroot "$1" systemctl enable ssh-keygen' \
		bookworm "$tar.new" ${mirror[@]+"${mirror[@]}"}
	mv "$tar.new" "$tar"
}
[ -e "$tar" ] || make_tar

# Layout: a line a partition: size in MiB (- for the rest), sfdisk type, filesystem, mount point, fstab source, name.
esp="64 uefi vfat /boot/efi UUID esp"
case $variant in
debian12-efi | debian12-4k) layout="$esp
- linux ext4 / UUID root" ;;
debian12-bios) layout="1 21686148-6449-6E6F-744E-656564454649 none none none bios
- linux ext4 / PARTUUID root" ;;
debian12-mbr) layout="- 83 ext4 / LABEL root" ;;
debian12-parts) layout="$esp
256 linux ext4 /boot PARTLABEL boot
512 linux ext4 / UUID root
1200 linux ext4 /usr PARTUUID usr
512 linux xfs /var LABEL var
- linux ext4 /home DEV home" ;;
debian12-btrfs) layout="$esp
256 linux ext4 /boot UUID boot
- linux btrfs / UUID root" ;;
debian12-xfs) layout="$esp
256 linux ext4 /boot UUID boot
- linux xfs / UUID root" ;;
esac

sector=512 label=gpt
[ "$variant" = debian12-4k ] && sector=4096
[ "$variant" = debian12-mbr ] && label=dos
disk=$out.new
rm -f "$disk"
truncate -s 3G "$disk"
work=$(mktemp -d)
mount -t tmpfs -o mode=755 tmpfs "$work"
mkdir "$work/root" "$work/dev"
trap 'status=$?; umount -R "$work/root" 2>/dev/null || true; for l in $(cat "$work/loops" 2>/dev/null); do losetup -d "$l" || true; done; umount -l "$work"; rmdir "$work"; exit $status' EXIT
: > "$work/loops"

loop() { # OPTIONS: attach the disk, print the device
	local l
	l=$(losetup --find --show --nooverlap "$@" "$disk")
	echo "$l" >> "$work/loops"
	echo "$l"
}

# sfdisk takes 4096-byte sectors only from a device.
table=$disk
[ $sector = 512 ] || table=$(loop -b $sector)
{
	echo "label: $label"
	while read -r size type _ _ _ name; do
		[ "$size" = - ] && size= || size="size=${size}MiB, "
		[ $label = gpt ] && name=", name=\"$name\"" || name=
		echo "${size}type=$type$name"
	done <<< "$layout"
} | sfdisk --quiet --no-reread --no-tell-kernel "$table"
mapfile -t starts < <(sfdisk --json "$table" | python3 -c 'import json,sys
t = json.load(sys.stdin)["partitiontable"]
for p in t["partitions"]: print(p["start"] * t["sectorsize"], p["size"] * t["sectorsize"], p.get("uuid", "%s-%02x" % (t["id"][2:], 1)).lower())')

: > "$work/fstab"
: > "$work/mounts"
n=0
while read -r _ _ fs at source name; do
	read -r start size partuuid <<< "${starts[$n]}"
	n=$((n + 1))
	[ "$fs" = none ] && continue
	l=$(loop -b $sector -o "$start" --sizelimit "$size")
	# grub-mkconfig treats names that begin with "loop" specially, so partitions get other names.
	dev=$work/dev/part$n
	mknod "$dev" b $((16#$(stat -c %t "$l"))) $((16#$(stat -c %T "$l")))
	case $fs in
	vfat) mkfs.vfat -S $sector -n ESP "$dev" > /dev/null ;;
	ext4) mkfs.ext4 -q -L "$name" -O ^orphan_file,^metadata_csum_seed "$dev" 2>/dev/null || mkfs.ext4 -q -L "$name" "$dev" ;;
	xfs) mkfs.xfs -q -L "$name" "$dev" ;;
	btrfs) mkfs.btrfs -q -L "$name" "$dev" ;;
	esac
	uuid=$(blkid -p -s UUID -o value "$dev")
	case $source in
	UUID) ref=UUID=$uuid ;; PARTUUID) ref=PARTUUID=$partuuid ;; LABEL) ref=LABEL=$name ;;
	PARTLABEL) ref=PARTLABEL=$name ;; DEV) ref=/dev/vda$n ;;
	esac
	options=defaults pass=2
	[ "$at" = / ] && pass=1
	[ "$fs" = vfat ] && options=umask=0077
	[ "$fs" = btrfs ] && options=subvol=@ pass=0
	echo "$ref $at $fs $options 0 $pass" >> "$work/fstab"
	[ "$fs" = btrfs ] && echo "$ref /home btrfs subvol=@home 0 0" >> "$work/fstab"
	echo "$at $fs part$n $uuid $partuuid" >> "$work/mounts"
done <<< "$layout"
echo "tmpfs /mnt tmpfs noauto 0 0" >> "$work/fstab"

root=$work/root
sort "$work/mounts" | while read -r at fs part _; do
	case $fs in
	vfat) mkdir -p "$root$at" ;; # written with mtools at the end: the host may have no vfat
	btrfs)
		mount "$work/dev/$part" "$root"
		btrfs -q subvolume create "$root/@"
		btrfs -q subvolume create "$root/@home"
		umount "$root"
		mount -o subvol=@ "$work/dev/$part" "$root"
		mkdir "$root/home"
		mount -o subvol=@home "$work/dev/$part" "$root/home"
		;;
	*) mkdir -p "$root$at"; mount "$work/dev/$part" "$root$at" ;;
	esac
done
tar -C "$root" --xattrs --xattrs-include='*' -xf "$tar"
cp "$work/fstab" "$root/etc/fstab"

# The chroot's own /dev, with the names that grub-probe and grub-mkconfig look for.
mkdir -p "$root/boot/efi"
mount -t tmpfs tmpfs "$root/dev"
mknod -m 666 "$root/dev/null" c 1 3
mkdir -p "$root/dev/disk/by-uuid" "$root/dev/disk/by-partuuid" "$root$work/dev"
mount --bind "$work/dev" "$root$work/dev"
while read -r _ _ part uuid partuuid; do
	ln -s "$work/dev/$part" "$root/dev/disk/by-uuid/$uuid"
	ln -s "$work/dev/$part" "$root/dev/disk/by-partuuid/$partuuid"
done < "$work/mounts"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
field() { awk -v at="$1" -v f="$2" '$1 == at { print $f }' "$work/mounts"; }
boot_uuid=$(field /boot 4) prefix=/grub
[ -n "$boot_uuid" ] || { boot_uuid=$(field / 4); prefix=/boot/grub; }
sed -i -e 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=0/' -e 's/^GRUB_CMDLINE_LINUX_DEFAULT=.*/GRUB_CMDLINE_LINUX_DEFAULT=""/' \
	-e 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX="console=ttyS0"/' "$root/etc/default/grub" 2>/dev/null ||
	printf 'GRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=Debian\nGRUB_CMDLINE_LINUX_DEFAULT=""\nGRUB_CMDLINE_LINUX="console=ttyS0"\n' > "$root/etc/default/grub"
echo GRUB_TERMINAL=console >> "$root/etc/default/grub"
chroot "$root" env GRUB_DISABLE_OS_PROBER=true grub-mkconfig -o /boot/grub/grub.cfg 2>"$work/mkconfig.log" || { cat "$work/mkconfig.log"; exit 1; }
grep -q "linux.*/vmlinuz" "$root/boot/grub/grub.cfg" || { cat "$work/mkconfig.log" "$root/boot/grub/grub.cfg"; exit 1; }

printf 'search.fs_uuid %s root\nset prefix=($root)%s\n' "$boot_uuid" "$prefix" > "$root/tmp/early.cfg"
modules="part_gpt part_msdos ext2 fat xfs btrfs search_fs_uuid normal linux configfile echo test serial loadenv gzio ls"
target=x86_64-efi
[ $kind = bios ] && target=i386-pc modules="$modules biosdisk"
mkdir -p "$root/boot/grub/$target"
cp "$root/usr/lib/grub/$target"/*.{mod,lst} "$root/boot/grub/$target/"
# shellcheck disable=SC2086
chroot "$root" grub-mkimage -O $target -c /tmp/early.cfg -p "$prefix" -o /tmp/core.img $modules
if [ $kind = bios ]; then
	start=512
	[ $label = gpt ] && start=$(cut -d' ' -f1 <<< "${starts[0]}")
	python3 "$here/grub-bios.py" "$disk" "$root/usr/lib/grub/i386-pc/boot.img" "$root/tmp/core.img" "$start"
else
	esp=$work/dev/part1
	mkdir -p "$work/esp/EFI/debian" "$work/esp/EFI/BOOT"
	cp "$root/tmp/core.img" "$work/esp/EFI/debian/grubx64.efi"
	cp "$root/tmp/core.img" "$work/esp/EFI/BOOT/BOOTX64.EFI"
	printf 'search.fs_uuid %s root\nset prefix=($root)'"'%s'"'\nconfigfile $prefix/grub.cfg\n' "$boot_uuid" "$prefix" > "$work/esp/EFI/debian/grub.cfg"
	MTOOLSRC=/dev/null mcopy -s -Q -i "$esp" "$work/esp/EFI" ::/
fi
rm -f "$root/tmp/early.cfg" "$root/tmp/core.img"
umount "$root/proc" "$root/sys" "$root$work/dev" "$root/dev"
rmdir "$root$work/dev" "$root$work"
for m in $(sort -r "$work/mounts" | awk '$2 != "vfat" { print $1 }'); do
	fstrim "$root$m" || true
	[ "$m" = / ] || umount "$root$m"
done
[ "$variant" != debian12-btrfs ] || umount "$root/home"
umount "$root"
for l in $(cat "$work/loops"); do losetup -d "$l"; done
: > "$work/loops"
mv "$disk" "$out"
