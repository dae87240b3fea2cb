#!/usr/bin/env bash
# debian-root.sh SUITE FLAVOUR TAR makes a Debian root file system from packages. Root's password is "root".
# Flavours:
#   efi     signed GRUB, dracut
#   tools   as efi, with initramfs-tools
#   bios    grub-pc, initramfs-tools
#   live    as efi, with Debian's generic kernel, which drives CDs and USB sticks, and what a LiveOS needs
#   cloud   Debian's own choice for clouds: GRUB for BIOS and UEFI, initramfs-tools, growing the root
#   sdboot  systemd-boot, initramfs-tools
#   uki     systemd-boot, dracut and ukify, which make unified kernel images
set -euo pipefail

common=linux-image-cloud-amd64,systemd-sysv,udev,dbus,kmod,procps,iproute2,netbase
common+=,openssh-server,ca-certificates,sudo,less,zstd,dosfstools,e2fsprogs,xfsprogs,btrfs-progs
grub=grub-efi-amd64,grub-efi-amd64-signed,shim-signed
efi=$common,dracut,$grub
tools=$common,initramfs-tools,$grub
bios=$common,initramfs-tools,grub-pc
live=${efi/-cloud/},dracut-live,dracut-network,dmsetup,fdisk,curl,grub-pc-bin
cloud=$common,initramfs-tools,grub-cloud-amd64,cloud-initramfs-growroot,fdisk
sdboot=$common,initramfs-tools,systemd-boot,systemd-boot-efi
uki=$common,dracut,systemd-boot,systemd-boot-efi,systemd-ukify,python3-pefile

# sources prints the suite's package sources, on the mirrors that the host's apt has Debian 12 from; nothing on
# other hosts.
sources() {
  local all=' bookworm(-updates|-security)? '
  case $suite in sid | bullseye) all=' bookworm ' ;; esac # have no others, or none that is kept
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) main' 'Created-By: Packages' 'Origin: Debian' |
    grep -E "$all" | sed "s/ bookworm/ $suite/" | sort -u || true
}

# before_packages ROOT writes what the packages' own scripts read, the kernel's above all.
before_packages() {
  mkdir -p "$1"/etc/dracut.conf.d "$1"/etc/initramfs-tools/conf.d
  echo 'compress="zstd -3"' >"$1/etc/dracut.conf.d/10-compress.conf"
  printf 'COMPRESS=zstd\nCOMPRESSLEVEL=3\n' >"$1/etc/initramfs-tools/conf.d/compress"
  echo 'grub-pc grub-pc/install_devices_empty boolean true' | chroot "$1" debconf-set-selections
}

after_packages() {
  if [ -e "$1/usr/bin/dracut" ]; then rm -r "$1/etc/initramfs-tools"; else rm -r "$1/etc/dracut.conf.d"; fi
  echo debian >"$1/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 debian\n' >"$1/etc/hosts"
  : >"$1/etc/machine-id"
  [ ! -e "$1/lib/systemd/systemd-resolved" ] || ln -sf ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"
  echo root:root | chroot "$1" chpasswd
  printf '[Match]\nName=e*\n\n[Network]\nDHCP=yes\n' >"$1/etc/systemd/network/20-wired.network"
  chroot "$1" systemctl enable --quiet systemd-networkd
  chroot "$1" systemctl disable --quiet systemd-networkd-wait-online
  [ ! -e "$1/etc/default/grub" ] || set_grub "$1/etc/default/grub"
}

# set_grub FILE makes GRUB start at once, with a kernel that talks to the serial console.
set_grub() {
  sed -i -e 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=0/' \
    -e 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"/' "$1"
}

case $1 in
  before_packages | after_packages) "$1" "$2"; exit ;; # called back by mmdebstrap, with its folder
esac
suite=$1
case $2 in
  efi | tools | bios | live | cloud | sdboot | uki) packages=${!2} ;;
  *) echo "unknown flavour $2: efi, tools, bios, live, cloud, sdboot or uki" >&2; exit 2 ;;
esac
[ "$suite" = bullseye ] || packages+=,systemd-resolved # a part of systemd before
self=$(realpath "$0")
mapfile -t mirrors < <(if [ -n "${DEBIAN_MIRROR:-}" ]; then echo "$DEBIAN_MIRROR"; else sources; fi)
mmdebstrap --quiet --mode=root --format=tar --variant=minbase --include="$packages" \
  --aptopt='Acquire::Check-Valid-Until "false"' \
  --essential-hook="'$self' before_packages \"\$1\"" --customize-hook="'$self' after_packages \"\$1\"" \
  "$suite" "$3" "${mirrors[@]}"
