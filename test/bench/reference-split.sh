#!/usr/bin/env bash
# What a careful person writes without this tool: every partition of an image as a compressed file, by
# hand. The opponent in "make bench". Usage: reference-split.sh IN OUT
set -euo pipefail
. "$(dirname "$0")/disk.sh"
alone "$0" "$@"
in=$1 out=${2%.raw}

mkdir -p "$(dirname "$out")"
cp --sparse=always "$in" "$dir/disk.raw"
attach_all "$dir/disk.raw" xvd
own_dev
for node in "${part[@]}"; do
	case $(blkid -p -s TYPE -o value "$node") in
	ext4) e2fsck -fn "$node" >/dev/null 2>&1 ;;
	vfat) fsck.vfat -n "$node" >/dev/null ;;
	esac
done
for n in "${!part[@]}"; do
	dd if="${part[n]}" bs=4M status=none | zstd -q -T0 -9 -o "${out}_$n.raw.zst"
done
sync "$out"_*
