#!/usr/bin/env bash
# What a careful person writes without this tool: the root of a Debian image sealed by dm-verity, by hand.
# The opponent in "make bench". Usage: reference-verity.sh IN OUT
set -euo pipefail
. "$(dirname "$0")/disk.sh"
alone "$0" "$@"
in=$1 out=$2 root=$dir/root
mkdir "$root"

mkdir -p "$(dirname "$out")"
cp --sparse=always "$in" "$out"
attach_all "$out" xvd # ESP, /boot, /, its hashes, /usr, a place for hashes, /var
own_dev
mount_tree() {
	mount "${part[3]}" "$root"
	mount "${part[2]}" "$root/boot"
	mount "${part[5]}" "$root/usr"
	mount "${part[7]}" "$root/var"
}
mount_tree
was=$(uuid "${part[3]}")
sed -i -E "s|^UUID=$was( +/ .*)|/dev/mapper/root\1|; /^\/dev\/mapper\/root/s/errors=remount-ro/ro/" "$root/etc/fstab"
grep -q '^/dev/mapper/root / ' "$root/etc/fstab"
echo 'add_dracutmodules+=" systemd-veritysetup "' >"$root/etc/dracut.conf.d/verity.conf"
enter "$root"
within "$root" dracut --force --regenerate-all >&2
fstrim "$root" || :
umount -R "$root"

e2fsck -fn "${part[3]}" >/dev/null 2>&1
hash=$(veritysetup format "${part[3]}" "${part[4]}" | sed -n 's/^Root hash:[[:space:]]*//p')
veritysetup verify "${part[3]}" "${part[4]}" "$hash"
mount "${part[2]}" "$root"
arguments="rd.systemd.verity=1 roothash=$hash systemd.verity_root_data=PARTLABEL=root systemd.verity_root_hash=PARTLABEL=root-hash"
sed -i -E "s|root=UUID=$was|root=/dev/mapper/root $arguments|" "$root/grub/grub.cfg"
grep -q "roothash=$hash" "$root/grub/grub.cfg"
umount "$root"
for n in 2 5 7; do e2fsck -fn "${part[n]}" >/dev/null 2>&1; done
sync "$out"
