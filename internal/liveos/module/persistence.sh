#!/bin/sh
# Puts the writable layer of a live system on the filesystem with the label that the kernel argument
# rd.imagecustomizer.persistence names. Where there is none, it is made in the free space of the USB
# stick that the system was started from. Without one, changes are kept in memory.

type getarg > /dev/null 2>&1 || . /lib/dracut-lib.sh

# The disk under the medium: the medium may be a partition of it.
persistence_disk() {
    dev=$(readlink -f /run/initramfs/livedev)
    name=${dev##*/}
    sys=$(readlink -f "/sys/class/block/$name")
    [ -e "$sys/partition" ] && name=${sys%/*} && name=${name##*/}
    [ "$(cat "/sys/class/block/$name/ro")" = 0 ] && echo "$name"
}

# Makes a partition behind the last one and prints its start and size in bytes. The kernel need not
# know it: the disk is in use, as the medium.
persistence_make() {
    disk=$1 label=$2
    size=$(blockdev --getsize64 "/dev/$disk")
    before=$(sfdisk --dump "/dev/$disk" 2> /dev/null) || return 1
    end=0
    while read -r line; do
        case $line in
            *start=*size=*)
                start=${line#*start=} && start=${start%%,*}
                length=${line#*size=} && length=${length%%,*}
                [ $((start + length)) -gt $end ] && end=$((start + length))
                ;;
        esac
    done << EOF
$before
EOF
    start=$(((end + 2047) / 2048 * 2048))
    length=$((size / 512 - start))
    [ $length -ge 131072 ] || return 1
    info "persistence: making a filesystem of $((length / 2048)) MiB on $disk" >&2
    echo "start=$start, size=$length, type=83" \
        | sfdisk --append --no-reread --no-tell-kernel --wipe never --wipe-partitions never "/dev/$disk" > /dev/null 2>&1 || return 1
    loop=$(losetup --find --show --offset $((start * 512)) --sizelimit $((length * 512)) "/dev/$disk") || return 1
    mkfs.ext4 -q -F -L "$label" "$loop" && echo "$loop"
}

# A device with the filesystem: one that has the label, or a partition of the disk that the kernel
# does not show since the whole disk is in use.
persistence_find() {
    disk=$1 label=$2
    sfdisk --dump "/dev/$disk" 2> /dev/null | while read -r line; do
        case $line in
            *type=83*)
                start=${line#*start=} && start=${start%%,*}
                length=${line#*size=} && length=${length%%,*}
                loop=$(losetup --find --show --offset $((start * 512)) --sizelimit $((length * 512)) "/dev/$disk") || continue
                [ "$(blkid -p -s LABEL -o value "$loop")" = "$label" ] && echo "$loop" && return
                losetup --detach "$loop"
                ;;
        esac
    done
}

persistence_setup() {
    label=$1 dir=/run/initramfs/persistence
    mkdir -p /run/overlayfs /run/ovlwork # in memory, where nothing else is found
    modprobe -q loop
    modprobe -q ext4
    disk=$(persistence_disk)
    if [ -n "$disk" ]; then
        dev=$(persistence_find "$disk" "$label")
    fi
    if [ -z "$dev" ]; then
        dev=$(blkid -t "LABEL=$label" -o device -l)
    fi
    if [ -z "$dev" ] && [ -n "$disk" ]; then
        dev=$(persistence_make "$disk" "$label")
    fi
    if [ -z "$dev" ]; then
        warn "persistence: no filesystem $label and no place for one: changes are lost at shutdown"
        return
    fi
    mkdir -p $dir
    if ! mount -n "$dev" $dir; then
        warn "persistence: cannot mount $dev: changes are lost at shutdown"
        return
    fi
    mkdir -p $dir/upper $dir/work
    rmdir /run/overlayfs /run/ovlwork
    ln -s $dir/upper /run/overlayfs
    ln -s $dir/work /run/ovlwork
}

persistence_label=$(getarg rd.imagecustomizer.persistence=)
[ -n "$persistence_label" ] && persistence_setup "$persistence_label"
