#!/usr/bin/env bash
# What a careful person writes without this tool: the system of a Debian image on a new disk with
# filesystems of their own for /boot and /var, by hand. The opponent in "make bench".
# Usage: reference-repartition.sh IN OUT
set -euo pipefail
. "$(dirname "$0")/disk.sh"
alone "$0" "$@"
in=$1 out=$2 from=$dir/old root=$dir/root
mkdir "$from" "$root" "$dir/esp"

mkdir -p "$(dirname "$out")"
truncate -s 4G "$out"
sfdisk --quiet "$out" <<END
label: gpt
size=64MiB, type=uefi
size=512MiB, type=linux, name=boot
size=1GiB, type=4D21B016-B534-45C2-A9FB-5C16E091FD2D
type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
END
attach_all "$in" sd --read-only
old=("${part[@]}")
attach_all "$out" xvd
own_dev
mount -o ro,noload "${old[1]}" "$from"
mcopy -i "${old[0]}" -s -p -m -n '::/*' "$dir/esp"
mkfs.vfat "${part[1]}" >&2
for n in 2 3 4; do mkfs.ext4 -q "${part[n]}"; done
mount "${part[4]}" "$root"
mkdir "$root/boot" "$root/var"
mount "${part[2]}" "$root/boot"
mount "${part[3]}" "$root/var"
cp -a "$from/." "$root"
umount "$from"

cat >"$root/etc/fstab" <<END
UUID=$(uuid "${part[4]}") / ext4 errors=remount-ro 0 1
UUID=$(uuid "${part[2]}") /boot ext4 defaults 0 2
UUID=$(uuid "${part[1]}") /boot/efi vfat umask=0077 0 2
UUID=$(uuid "${part[3]}") /var ext4 defaults 0 2
END
cp "$root/usr/share/grub/default/grub" "$root/etc/default/grub"
printf "search.fs_uuid %s root\nset prefix=(\$root)'/grub'\nconfigfile \$prefix/grub.cfg\n" "$(uuid "${part[2]}")" >"$dir/esp/EFI/debian/grub.cfg"
mcopy -i "${part[1]}" -s -p -m -Q "$dir"/esp/* ::/
enter "$root"
within "$root" dracut --force --regenerate-all >&2
within "$root" grub-mkconfig -o /boot/grub/grub.cfg >&2
grep -q "root=UUID=$(uuid "${part[4]}")" "$root/boot/grub/grub.cfg"
umount -R "$root"
for n in 2 3 4; do e2fsck -fn "${part[n]}" >/dev/null 2>&1; done
fsck.vfat -n "${part[1]}" >&2
sync "$out"
