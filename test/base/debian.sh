#!/usr/bin/env bash
# debian.sh [--tar] VARIANT prints the path of a Debian disk image, or of the tar of its root, which it builds
# where the cache has none. Log in as root, password "root", on the serial console. Variants:
#   debian12-efi     GPT, ESP, ext4 root; signed shim and GRUB, dracut
#   debian12-bios    GPT, bios-grub partition, ext4 root; initramfs-tools
#   debian12-mbr     MBR, ext4 root; BIOS, initramfs-tools
#   debian12-parts   UEFI; /boot, /, /usr, /var (xfs), /home and swap are partitions, /tmp a tmpfs
#   debian12-btrfs   UEFI; /boot, a btrfs with / in subvolume @ and /home in @home
#   debian12-xfs     UEFI; /boot, xfs root
#   debian12-4k      as efi, with 4096-byte sectors
#   debian12-seal    UEFI; /boot, /, /usr and /var, and empty partitions root-hash and usr-hash
#   debian12-live    as efi, with the generic kernel, dracut's live modules and GRUB's for BIOS
#   debian13-efi     as Debian 12's, with initramfs-tools: GRUB 2.12, systemd 257
#   debian13-cloud   laid out as Debian's images for clouds: bios-grub is partition 14, the ESP 15, the
#                    root 1, though last on the disk; BIOS and UEFI
#   debian13-live    as Debian 12's
#   debian13-sdboot  systemd-boot, with entries and kernels on the ESP
#   debian13-uki     systemd-boot, with unified kernel images on the ESP
#   debian11-efi, debiansid-efi    as debian13-efi
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"

# layout sets what a variant's disk looks like. A line of parts is a partition: size in MiB (- for
# the rest), type for sfdisk, file system, mount point, how fstab names it, mount options. Size "="
# is another subvolume of the partition before; "14:3" is a size with the partition's number.
layout() {
  suite=bookworm flavour=efi label=gpt sector=512 loader=
  local esp="64 uefi vfat /boot/efi UUID umask=0077" boot="256 linux ext4 /boot UUID defaults"
  local bios=21686148-6449-6E6F-744E-656564454649
  case $1 in
    debian12-efi) parts="$esp
      - linux ext4 / UUID errors=remount-ro" ;;
    debian12-live) flavour=live parts="$esp
      - linux ext4 / UUID errors=remount-ro" ;;
    debian12-4k) sector=4096 parts="$esp
      - linux ext4 / UUID errors=remount-ro" ;;
    debian12-bios) flavour=bios parts="1 $bios none - - -
      - linux ext4 / PARTUUID errors=remount-ro" ;;
    debian12-mbr) flavour=bios label=dos parts="- 83 ext4 / LABEL errors=remount-ro" ;;
    debian12-parts) parts="${esp/UUID/PARTLABEL}
      ${boot/UUID/PARTLABEL}
      600 linux ext4 / UUID errors=remount-ro
      1000 linux ext4 /usr PARTUUID defaults
      512 linux xfs /var LABEL defaults
      128 linux ext4 /home by-uuid nodev,nosuid
      - swap swap none device sw" ;;
    debian12-btrfs) parts="$esp
      $boot
      - linux btrfs / UUID subvol=@
      = linux btrfs /home UUID subvol=@home" ;;
    debian12-seal) parts="$esp
      $boot
      600 linux ext4 / UUID errors=remount-ro
      16 linux none -root-hash - -
      1000 linux ext4 /usr PARTUUID defaults
      16 linux none -usr-hash - -
      - linux ext4 /var UUID defaults,x-initrd.mount" ;;
    debian12-xfs) parts="$esp
      ${boot/UUID/LABEL}
      - linux xfs / UUID defaults" ;;
    debian13-efi | debian11-efi | debiansid-efi) flavour=tools loader=grub_efi parts="$esp
      - linux ext4 / UUID errors=remount-ro" ;;
    debian13-live) flavour=live parts="$esp
      - linux ext4 / UUID errors=remount-ro" ;;
    debian13-cloud) flavour=cloud parts="14:3 $bios none - - -
      15:124 uefi vfat /boot/efi UUID defaults
      1:- 4f68bce3-e8cd-4db1-96e7-fbcaf984b709 ext4 / PARTUUID rw,discard,errors=remount-ro,x-systemd.growfs" ;;
    debian13-sdboot | debian13-uki) flavour=${1#*-} parts="${esp/64/256}
      - linux ext4 / UUID errors=remount-ro" ;;
    *) die "unknown variant $1" ;;
  esac
  case $1 in debian11-*) suite=bullseye ;; debian13-*) suite=trixie ;; debiansid-*) suite=sid ;; esac
  : "${loader:=grub_$flavour}"
}

# each_part calls a function for every line of parts: number, then the fields, then a label.
each_part() {
  local n=0 size type fs at spec options name
  while read -r size type fs at spec options; do
    case $size in =) ;; *:*) n=${size%:*} size=${size#*:} ;; *) n=$((n + 1)) ;; esac
    case $at in /) name=root ;; -|none) name=$fs ;; -*) name=${at#-} ;; *) name=${at##*/} ;; esac
    "$1" $n "$size" "$type" "$fs" "$at" "$spec" "$options" "$name"
  done <<<"$parts"
}

table_line() {
  [ "$2" != = ] || return 0
  printf '%s: ' "$1"
  [ "$2" = - ] || printf 'size=%sMiB, ' "$2"
  printf 'type=%s' "$3"
  if [ $label = gpt ]; then printf ', name=%s' "$8"; fi
  echo
}

# make_fs makes the file system, with ext4 features as the image's own mke2fs would choose them.
make_fs() {
  local dev=/dev/vda$1
  [ "$2" != = ] && [ "$4" != none ] || return 0
  case $4 in
    vfat) mkfs.vfat -n "${8^^}" "$dev" >/dev/null ;;
    ext4) MKE2FS_CONFIG=$work/mke2fs.conf mkfs.ext4 -q -L "$8" "$dev" ;;
    xfs) mkfs.xfs -q -L "$8" "$dev" ;;
    btrfs) mkfs.btrfs -q -L "$8" "$dev" && make_subvolumes "$dev" ;;
    swap) mkswap -q -L "$8" "$dev" ;;
  esac
  link_uuid "$dev"
}

make_subvolumes() {
  mount "$1" "$root"
  btrfs -q subvolume create "$root/@"
  btrfs -q subvolume create "$root/@home"
  umount "$root"
}

mount_line() {
  local options=defaults
  [[ $7 != subvol=* ]] || options=$7
  case $4 in ext4 | xfs | btrfs) echo "$5 /dev/vda$1 $options" ;; esac
}

mount_all() {
  local at dev options
  each_part mount_line | sort | while read -r at dev options; do
    mkdir -p "$root$at"
    mount -o "$options" "$dev" "$root$at"
  done
}

fstab_line() {
  local dev=/dev/vda$1 source pass=2
  case $6 in
    -) return ;;
    device) source=$dev ;;
    by-uuid) source=/dev/disk/by-uuid/$(blkid -p -s UUID -o value "$dev") ;;
    PARTUUID) source=PARTUUID=$(blkid -p -s PART_ENTRY_UUID -o value "$dev") ;;
    PARTLABEL) source=PARTLABEL=$8 ;;
    *) source=$6=$(blkid -p -s "$6" -o value "$dev") ;;
  esac
  case $4:$5 in xfs:* | btrfs:* | swap:*) pass=0 ;; *:/) pass=1 ;; esac
  echo "$source $5 $4 $7 0 $pass"
}

write_fstab() {
  echo '# <file system> <mount point> <type> <options> <dump> <pass>'
  each_part fstab_line
  [ "$variant" != debian12-parts ] || echo 'tmpfs /tmp tmpfs mode=1777,nosuid,nodev 0 0'
}

# grub_efi does what grub-install does, which needs a host that can mount the ESP.
grub_efi() {
  local esp=$work/esp modules=$root/boot/grub/x86_64-efi device prefix
  device=$(findmnt -no SOURCE -T "$root/boot") prefix=$(enter "$root" grub-mkrelpath /boot/grub)
  mkdir -p "$esp"/EFI/{debian,BOOT} "$modules" "$root/boot/grub/fonts"
  cp "$root"/usr/lib/grub/x86_64-efi/*.{mod,lst} "$modules"
  cp "$root/usr/share/grub/unicode.pf2" "$root/boot/grub/fonts"
  enter "$root" grub-editenv /boot/grub/grubenv create
  cp "$root/usr/lib/shim/shimx64.efi.signed" "$esp/EFI/debian/shimx64.efi"
  cp "$root/usr/lib/shim/shimx64.efi.signed" "$esp/EFI/BOOT/bootx64.efi"
  cp "$root/usr/lib/shim/mmx64.efi.signed" "$esp/EFI/debian/mmx64.efi"
  cp "$root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "$esp/EFI/debian/grubx64.efi"
  cp "$esp/EFI/debian/grubx64.efi" "$esp/EFI/BOOT"
  printf "search.fs_uuid %s root\nset prefix=(\$root)'%s'\nconfigfile \$prefix/grub.cfg\n" \
    "$(blkid -p -s UUID -o value "${device%\[*}")" "$prefix" >"$esp/EFI/debian/grub.cfg"
  fill_esp "$esp"/*
}

# fill_esp FILE... copies to the ESP.
fill_esp() { MTOOLSRC=/dev/null mcopy -i "/dev/vda$(each_part esp_number)" -s "$@" ::; }

esp_number() { [ "$4" != vfat ] || echo "$1"; }

grub_live() { grub_efi; }

grub_cloud() { grub_bios && grub_efi; }

# sdboot does what bootctl install does, and sets what kernel-install makes entries from.
sdboot() {
  esp=$work/esp
  mkdir -p "$esp"/EFI/{systemd,BOOT,Linux} "$esp/loader/entries" "$root/etc/kernel"
  cp "$root/usr/lib/systemd/boot/efi/systemd-bootx64.efi" "$esp/EFI/systemd"
  cp "$root/usr/lib/systemd/boot/efi/systemd-bootx64.efi" "$esp/EFI/BOOT/BOOTX64.EFI"
  echo 'timeout 0' >"$esp/loader/loader.conf"
  echo "root=UUID=$(findmnt -no UUID "$root") ro console=tty0 console=ttyS0,115200" >"$root/etc/kernel/cmdline"
}

grub_sdboot() {
  sdboot
  local id k
  id=$(tr -d - </proc/sys/kernel/random/uuid)
  echo "$id" >"$root/etc/machine-id"
  for k in "$root"/boot/vmlinuz-*; do
    k=${k##*/vmlinuz-}
    mkdir -p "$esp/$id/$k"
    cp "$root/boot/vmlinuz-$k" "$esp/$id/$k/linux"
    cp "$root/boot/initrd.img-$k" "$esp/$id/$k/initrd.img-$k"
    printf '%-10s %s\n' title "Debian GNU/Linux" version "$k" machine-id "$id" sort-key debian \
      options "$(<"$root/etc/kernel/cmdline") systemd.machine_id=$id" linux "/$id/$k/linux" \
      initrd "/$id/$k/initrd.img-$k" >"$esp/loader/entries/$id-$k.conf"
  done
  fill_esp "$esp"/*
}

grub_uki() {
  sdboot
  local k
  echo layout=uki >"$root/etc/kernel/install.conf"
  for k in "$root"/boot/vmlinuz-*; do
    k=${k##*/vmlinuz-}
    enter "$root" ukify build --linux="/boot/vmlinuz-$k" --initrd="/boot/initrd.img-$k" --cmdline=@/etc/kernel/cmdline \
      --os-release=@/etc/os-release --uname="$k" --output=/boot/uki.efi
    mv "$root/boot/uki.efi" "$esp/EFI/Linux/debian-$k.efi"
  done
  fill_esp "$esp"/*
}

grub_bios() { enter "$root" grub-install --target=i386-pc /dev/vda; }

grub_menu() {
  enter "$root" grub-mkconfig -o /boot/grub/grub.cfg >&2
  grep -Eq 'root=(PART)?UUID=' "$root/boot/grub/grub.cfg" || die "grub-mkconfig made no entry"
}

# build VARIANT FLAVOUR'S-TAR IMAGE runs in namespaces of its own, see isolated.
build() {
  variant=$1 work=/mnt root=/mnt/root
  layout "$variant"
  mount -t tmpfs tmpfs $work # in this namespace, so that nothing is left in the host's
  mkdir "$root"
  tar -xOf "$2" ./etc/mke2fs.conf >"$work/mke2fs.conf"
  truncate -s 3G "$3"
  attach_disk "$3" $sector
  partition_disk "label: $label
$(each_part table_line)"
  each_part make_fs
  mount_all
  tar -C "$root" --xattrs --xattrs-include='*' --numeric-owner -xf "$2"
  mkdir -p "$root/boot/efi"
  write_fstab >"$root/etc/fstab"
  $loader >&2
  [ ! -e "$root/boot/grub" ] || grub_menu
  umount -R "$root"
}

if [ "${1:-}" = build ]; then "$@"; exit; fi
only_tar=
if [ "${1:-}" = --tar ]; then only_tar=1; shift; fi
layout "${1:?which variant, such as debian12-efi}"
[ "$(id -u)" = 0 ] || die "needs root"
for program in mmdebstrap mcopy sfdisk mkfs.xfs mkfs.btrfs; do
  command -v $program >/dev/null || die "$program is missing: make deps installs it"
done
tar=$(cached "${1%%-*}-$flavour" tar "$here/debian-root.sh" -- "$here/debian-root.sh" "$suite" $flavour)
if [ "$only_tar" ]; then echo "$tar"; exit; fi
cached "$1" raw "$here"/{lib,debian-root,debian}.sh -- isolated "$0" build "$1" "$tar"
