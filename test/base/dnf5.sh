#!/usr/bin/env bash
# dnf5.sh prints the path of an image with the real dnf5 and rpm 6, which it builds from Debian sid where the
# cache has none: a userland on a GPT disk with os-release, repository folders and a package database as
# Fedora 42 has them. Nothing of dpkg is left in it, and it has no kernel: it is customized, never booted.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
. "$here/lib.sh"

# release makes the package that says what system this is, and that stands for what packages need of it.
release() {
  cat >"$work/release.spec" <<'END'
Name: fedora-release
Version: 42
Release: 1
Summary: What system this is
License: None
BuildArch: noarch
AutoReqProv: no
Provides: system-release = 42
Provides: system-release(releasever) = 42
Provides: /bin/sh
%description
What system this is.
%files
END
  rpmbuild -bb --quiet -D "_topdir $work/rpm" -D "_rpmdir $work" -D '_build_name_fmt release.rpm' "$work/release.spec" >&2
  cp "$work/release.rpm" "$root/release.rpm"
  enter "$root" rpm -i --nosignature /release.rpm
  rm "$root/release.rpm"
}

without_dpkg() {
  rm -rf "$root"/{var/lib,var/cache,etc,usr/lib,usr/share}/{apt,dpkg} "$root"/usr/bin/{apt,dpkg}* "$root"/usr/bin/update-alternatives
  rm -rf "$root"/var/log/* "$root"/usr/share/{doc,man,locale}
}

settings() {
  rm -f "$root/etc/os-release"
  printf 'NAME=Fedora\nID=fedora\nVERSION_ID=42\nPRETTY_NAME="Fedora 42, of Debian packages"\n' >"$root/usr/lib/os-release"
  ln -s ../usr/lib/os-release "$root/etc/os-release"
  rm -f "$root"/etc/dnf/libdnf5-plugins/*.conf # Fedora has none of them by default
  mkdir -p "$root"/etc/yum.repos.d "$root/usr/lib/modules/0-none/kernel"
  : >"$root/usr/lib/modules/0-none/modules.dep"
  : >"$root/etc/machine-id"
  echo "UUID=$(blkid -p -s UUID -o value /dev/vda1) / ext4 defaults 0 1" >"$root/etc/fstab"
}

# build TAR IMAGE runs in namespaces of its own, see isolated.
build() {
  work=/mnt root=/mnt/root
  mount -t tmpfs tmpfs $work
  mkdir "$root"
  truncate -s 1G "$2"
  attach_disk "$2" 512
  partition_disk "label: gpt
type=linux, name=root"
  mkfs.ext4 -q -L root -O ^orphan_file,^metadata_csum_seed /dev/vda1
  mount /dev/vda1 "$root"
  tar -C "$root" --xattrs --xattrs-include='*' --numeric-owner -xf "$1"
  settings
  without_dpkg
  release
  umount "$root"/{proc,sys,dev}
  umount "$root"
}

if [ "${1:-}" = build ]; then "$@"; exit; fi
[ "$(id -u)" = 0 ] || die "needs root"
for program in mmdebstrap rpmbuild sfdisk; do
  command -v $program >/dev/null || die "$program is missing: make deps installs it"
done
tar=$(cached dnf5-root tar "$here/dnf5-root.sh" -- "$here/dnf5-root.sh")
cached dnf5 raw "$here"/{lib,dnf5-root,dnf5}.sh -- isolated "$0" build "$tar"
