# Shared by the builders of base images: the cache, and a disk image as a real block device with
# partitions, on hosts without udev, partition scanning or vfat. Source it; needs root.

if [ -n "${XDG_CACHE_HOME:-}" ]; then cache=$XDG_CACHE_HOME
else cache=$(getent passwd "$(id -u)" | cut -d: -f6)/.cache; fi # sudo may leave HOME as the user's
cache=$cache/imagecustomizer/base

die() { echo "${0##*/}: $*" >&2; exit 1; }

# cached NAME EXT FILE... -- COMMAND... prints the path of NAME-<hash of the FILEs>.EXT in the cache.
# If it is absent, COMMAND makes it at the path that it gets as its last argument.
cached() {
  local name=$1 ext=$2 files=() hash out; shift 2
  while [ "$1" != -- ]; do files+=("$1"); shift; done; shift
  hash=$(cat "${files[@]}" | sha256sum | cut -c1-12)
  out=$cache/$name-$hash.$ext
  mkdir -p "$cache"
  [ -e "$out" ] || ( # the lock ends with the subshell
    flock 8
    [ -e "$out" ] && exit
    find "$cache" -maxdepth 1 -name "$name-????????????.$ext*" -mtime +7 -delete
    rm -f "$out.part" # of a build that was killed
    "$@" "$out.part" >&2 || { rm -f "$out.part"; exit 1; }
    mv "$out.part" "$out"
  ) 8>"$cache/.$name.lock"
  [ -e "$out" ] || die "cannot build $name"
  echo "$out"
}

# isolated COMMAND... runs in namespaces of its own, so that every mount and process ends with it.
isolated() { unshare --mount --pid --fork --kill-child --mount-proc "$@"; }

# attach_disk IMAGE SECTOR replaces /dev, in this mount namespace, by one where the image is /dev/vda.
# GRUB's tools treat devices named loop specially. Descriptor 9 keeps the loop device alive.
attach_disk() {
  loop=$(losetup --find --show --partscan --sector-size "$2" "$1")
  exec 9<>"$loop"
  losetup --detach "$loop" # takes effect when descriptor 9 and the last mount are gone
  loop=${loop#/dev/}
  mount -t tmpfs -o mode=755 tmpfs /dev
  local node
  for node in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0'; do
    mknod -m 666 "/dev/${node%% *}" c ${node#* }
  done
  ln -s /proc/self/fd /dev/fd
  mkdir -p /dev/disk/by-uuid /dev/disk/by-partuuid
  alias_node "$loop" vda
}

alias_node() { mknod -m 600 "/dev/$2" b $(tr : ' ' <"/sys/class/block/$1/dev"); }

# partition_disk SCRIPT writes the table with sfdisk and makes /dev/vda1 and so on.
partition_disk() {
  sfdisk --quiet --no-reread --no-tell-kernel --wipe never /dev/vda <<<"$1"
  local number start sectors unit
  unit=$(($(cat "/sys/class/block/$loop/queue/logical_block_size") / 512)) # kernel counts 512 bytes
  sfdisk --dump /dev/vda | sed -nE 's|^/dev/vda([0-9]+) : start= *([0-9]+), size= *([0-9]+).*|\1 \2 \3|p' |
  while read -r number start sectors; do
    [ -e "/sys/class/block/${loop}p$number" ] || addpart /dev/vda "$number" $((start * unit)) $((sectors * unit))
    alias_node "${loop}p$number" "vda$number"
    ln -s "../../vda$number" "/dev/disk/by-partuuid/$(blkid -p -s PART_ENTRY_UUID -o value "/dev/vda$number")"
  done
}

# link_uuid DEVICE makes its /dev/disk/by-uuid link, which grub-mkconfig looks for.
link_uuid() { ln -s "../../${1#/dev/}" "/dev/disk/by-uuid/$(blkid -p -s UUID -o value "$1")"; }

# enter ROOT COMMAND... runs a program in a tree that attach_disk's devices are bound into.
enter() {
  local root=$1; shift
  if ! mountpoint -q "$root/proc"; then
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount --bind /dev "$root/dev"
  fi
  chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
}
