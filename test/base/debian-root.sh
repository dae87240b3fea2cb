#!/usr/bin/env bash
# debian-root.sh FLAVOUR TAR makes a Debian 12 root file system from packages. FLAVOUR is "efi"
# (signed GRUB, dracut), "bios" (grub-pc, initramfs-tools) or "live" (as efi, with Debian's generic
# kernel, which drives CDs and USB sticks, and what a LiveOS needs). Root's password is "root".
set -euo pipefail

common=linux-image-cloud-amd64,systemd-sysv,udev,dbus,systemd-resolved,kmod,procps,iproute2,netbase
common+=,openssh-server,ca-certificates,sudo,less,zstd,dosfstools,e2fsprogs,xfsprogs,btrfs-progs
efi=$common,dracut,grub-efi-amd64,grub-efi-amd64-signed,shim-signed
bios=$common,initramfs-tools,grub-pc
live=${efi/-cloud/},dracut-live,dracut-network,dmsetup,fdisk,curl,grub-pc-bin

# sources prints Debian 12's package sources as the host's apt knows them, nothing on other hosts.
sources() {
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) main' 'Created-By: Packages' 'Origin: Debian' |
    grep -E ' bookworm(-updates|-security)? ' | sort -u || true
}

# before_packages ROOT writes what the packages' own scripts read, the kernel's above all.
before_packages() {
  mkdir -p "$1"/etc/dracut.conf.d "$1"/etc/initramfs-tools/conf.d
  echo 'compress="zstd -3"' >"$1/etc/dracut.conf.d/10-compress.conf"
  printf 'COMPRESS=zstd\nCOMPRESSLEVEL=3\n' >"$1/etc/initramfs-tools/conf.d/compress"
  echo 'grub-pc grub-pc/install_devices_empty boolean true' | chroot "$1" debconf-set-selections
}

after_packages() {
  case $flavour in
    efi | live) rm -r "$1/etc/initramfs-tools" ;;
    bios) rm -r "$1/etc/dracut.conf.d" ;;
  esac
  echo debian >"$1/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 debian\n' >"$1/etc/hosts"
  : >"$1/etc/machine-id"
  ln -sf ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"
  echo root:root | chroot "$1" chpasswd
  printf '[Match]\nName=e*\n\n[Network]\nDHCP=yes\n' >"$1/etc/systemd/network/20-wired.network"
  chroot "$1" systemctl enable --quiet systemd-networkd
  chroot "$1" systemctl disable --quiet systemd-networkd-wait-online
  sed -i -e 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=0/' "$1/etc/default/grub" \
    -e 's/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"/'
}

case $1 in
  efi | bios | live) packages=${!1} ;;
  before_packages | after_packages) "$1" "$2"; exit ;; # called back by mmdebstrap, with its folder
  *) echo "unknown flavour $1: efi, bios or live" >&2; exit 2 ;;
esac
export flavour=$1
self=$(realpath "$0")
mapfile -t mirrors < <(if [ -n "${DEBIAN_MIRROR:-}" ]; then echo "$DEBIAN_MIRROR"; else sources; fi)
mmdebstrap --quiet --mode=root --format=tar --variant=minbase --include="$packages" \
  --essential-hook="'$self' before_packages \"\$1\"" --customize-hook="'$self' after_packages \"\$1\"" \
  bookworm "$2" "${mirrors[@]}"
