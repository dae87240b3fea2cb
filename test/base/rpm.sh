#!/usr/bin/env bash
# rpm.sh NAME prints the path of an RPM-managed base image, or of a repository for it, which it
# builds from Debian 12 packages where the cache has none. Log in as root, password "root", on the
# serial console. Names:
#   azl3       laid out like Azure Linux 3.0: ESP, ext4 root, grub2-mkconfig, tdnf
#   mariner2   laid out like Mariner 2.0: mariner.cfg and a menu that is not generated, mkinitrd, tdnf
#   repo       a folder, packages that neither has: dnf, jq, more kernels, updates, broken ones, ...
#   base-repo  a folder, the packages that the images are made of
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"

common="core-packages-base-image kernel initramfs dracut shim grub2-efi-binary openssh-server openssh-clients sudo
  cryptsetup dosfstools logrotate chrony python3"

fetch() { rm -rf "$1" && "$here/rpm/fetch.sh" "$1"; }

repositories() { rm -rf "$2" && "$here/rpm/build.py" "$1" "$2"; }

# dnf_install NAME RELEASE PACKAGE... fills $root from the repository $repo, as the image's own dnf would.
dnf_install() {
  local release=$1; shift
  printf '[base]\nname=base\nbaseurl=file://%s\ngpgcheck=0\n' "$repo" >"$work/base.repo"
  dnf -q -y --installroot="$root" --releasever="$release" --setopt=reposdir="$work" --setopt=cachedir="$work/cache" \
    --setopt=logdir="$work" --setopt=varsdir="$work" --setopt=pluginpath="$work" --setopt=persistdir=/var/lib/dnf \
    --setopt=install_weak_deps=False --setopt=tsflags=nodocs install "$@" 2>&1 | tee "$work/dnf.log"
  ! grep -i 'scriptlet failed' "$work/dnf.log" || die "a scriptlet failed"
}

configure() {
  echo "$1" >"$root/etc/hostname"
  : >"$root/etc/machine-id"
  ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
  echo root:root | enter "$root" chpasswd
  printf 'PARTUUID=%s / ext4 defaults 0 1\nPARTUUID=%s /boot/efi vfat umask=0077 0 2\n' \
    "$(blkid -p -s PART_ENTRY_UUID -o value /dev/vda2)" "$(blkid -p -s PART_ENTRY_UUID -o value /dev/vda1)" \
    >"$root/etc/fstab"
  enter "$root" grub2-editenv /boot/grub2/grubenv create
  menu_$1
  chmod 600 "$root/boot/grub2/grub.cfg"
}

menu_azl3() {
  enter "$root" grub2-mkconfig -o /boot/grub2/grub.cfg
  grep -q 'root=UUID=' "$root/boot/grub2/grub.cfg" || die "grub2-mkconfig made no entry"
}

menu_mariner2() {
  sed "s/@UUID@/$uuid/; s/@PARTUUID@/$(blkid -p -s PART_ENTRY_UUID -o value /dev/vda2)/" \
    "$here/rpm/mariner.cfg" >"$root/boot/grub2/grub.cfg"
}

# fill_esp moves what packages put into /boot/efi to the ESP, which the host may be unable to mount.
fill_esp() {
  mkdir -p "$root/boot/efi/boot/grub2"
  printf 'search -n -u %s -s\n%s\n' "$uuid" "$(<"$here/rpm/esp-$1.cfg")" >"$root/boot/efi/boot/grub2/grub.cfg"
  (cd "$root/boot/efi" && MTOOLSRC=/dev/null mcopy -i /dev/vda1 -s ./* ::)
  rm -r "$root"/boot/efi/*
}

# no_lost_libraries fails where a program lacks a library, which the renaming of packages can cause.
no_lost_libraries() {
  local name
  enter "$root" sh -c 'find /usr/bin /usr/sbin /usr/lib -type f \( -perm -100 -o -name "*.so*" \) | xargs ldd 2>/dev/null; true' |
    awk '/not found$/ { print $1 }' | sort -u | while read -r name; do
      [ -n "$(find "$root/usr/lib" -name "$name")" ] || die "lost library: $name" # some lie in folders of their own
    done
}

# build NAME REPOSITORY IMAGE runs in namespaces of its own, see isolated.
build() {
  repo=$2 work=/mnt root=/mnt/root
  mount -t tmpfs tmpfs $work
  mkdir -p "$root"
  truncate -s 2G "$3"
  attach_disk "$3" 512
  partition_disk "label: gpt
size=64MiB, type=uefi, name=esp
type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=rootfs"
  mkfs.vfat -n ESP /dev/vda1 >/dev/null
  mkfs.ext4 -q -L rootfs -O ^orphan_file,^metadata_csum_seed /dev/vda2
  link_uuid /dev/vda2
  uuid=$(blkid -p -s UUID -o value /dev/vda2)
  mount /dev/vda2 "$root"
  mkdir -p "$root"/{proc,sys,dev,boot}
  enter "$root" true 2>/dev/null || : # mounts proc, sys and dev; there is nothing to run yet
  case $1 in
    azl3) dnf_install 3.0 azurelinux-release azurelinux-repos $common ;;
    mariner2) dnf_install 2.0 mariner-release mariner-repos tdnf-3.5.2 mkinitrd $common ;;
  esac
  configure "$1"
  fill_esp "$1"
  no_lost_libraries
  rm -rf "$root"/var/cache/dnf "$root"/var/log/{dnf,hawkey}* "$root"/tmp/* "$root"/run/* "$root"/var/lib/rpm-state/*
  umount "$root"/{proc,sys,dev}
  fstrim "$root"
  umount "$root"
}

if [ "${1:-}" = build ]; then "$@"; exit; fi
name=${1:?which: azl3, mariner2, repo or base-repo}
[ "$(id -u)" = 0 ] || die "needs root"
for program in rpmbuild createrepo_c dnf grub-mkimage mcopy sfdisk python3; do
  command -v $program >/dev/null || die "$program is missing: make deps installs it"
done
mapfile -t sources < <(find "$here/rpm" -type f ! -name '*.pyc' | sort)
find "$cache" -maxdepth 1 -name 'rpm-*.dir*' -mtime +7 -exec rm -r {} + 2>/dev/null || : # folders are not for cached
debs=$(cached rpm-debs dir "$here"/rpm/{fetch.sh,base.list,extra.list} -- fetch)
repos=$(cached rpm-repos dir "${sources[@]}" -- repositories "$debs")
case $name in
  repo) echo "$repos/extra" ;;
  base-repo) echo "$repos/base" ;;
  azl3 | mariner2) cached "$name" raw "$here"/{lib,rpm}.sh "${sources[@]}" -- isolated "$0" build "$name" "$repos/base" ;;
  *) die "unknown name $name" ;;
esac
