#!/bin/sh
# grow-on-boot MOUNT: has the partition below a mount take what the disk has behind it, and the filesystem what the
# partition has.
device=$(readlink -f "$(findmnt -nvo SOURCE "$1")") || exit 1
block=/sys/class/block/${device##*/}
number=$(cat "$block/partition") || exit 1
disk=$(readlink -f "$block/..") || exit 1
growpart "/dev/${disk##*/}" "$number"
if [ $? -gt 1 ]; then exit 1; fi # 1: there is nothing to take
GROW
