#!/bin/bash
# Keeps the changes of a live system in a filesystem of its own, see persistence.sh.

check() {
    return 255
}

depends() {
    echo dmsquash-live
}

installkernel() {
    hostonly='' instmods ext4 loop
}

install() {
    inst_multiple blkid blockdev losetup sfdisk mkfs.ext4 mount mkdir rmdir ln readlink cat sync
    inst_multiple -o /etc/mke2fs.conf
    inst_hook pre-mount 10 "$moddir/persistence.sh"
}
