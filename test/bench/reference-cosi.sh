#!/usr/bin/env bash
# What a careful person writes without this tool: a COSI of a Debian image, by hand. The opponent in "make
# bench". Usage: reference-cosi.sh IN OUT
set -euo pipefail
. "$(dirname "$0")/disk.sh"
alone "$0" "$@"
in=$1 out=$2 root=$dir/root
mkdir -p "$root" "$dir/cosi/images"

mkdir -p "$(dirname "$out")"
cp --sparse=always "$in" "$dir/disk.raw"
attach_all "$dir/disk.raw" xvd
own_dev
mount "${part[2]}" "$root"
within "$root" dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' |
	jq -R 'split(" ") | {name: .[0], version: .[1], release: "", arch: .[2]}' | jq -s . >"$dir/packages.json"
cp "$root/etc/os-release" "$dir/os-release"
umount "$root"

# piece NAME NODE BYTES compresses the beginning of a device into the archive's folder and describes it.
piece() {
	local file=images/$1.raw.zst
	dd if="$2" bs=4M iflag=count_bytes count="$3" status=none | zstd -q -T0 -9 --long=27 -o "$dir/cosi/$file"
	jq -n --arg path "$file" --argjson size "$(stat -c %s "$dir/cosi/$file")" --argjson raw "$3" \
		--arg sum "$(sha384sum "$dir/cosi/$file" | cut -d' ' -f1)" \
		'{path: $path, compressedSize: $size, uncompressedSize: $raw, sha384: $sum}'
}

piece gpt "$dir/disk.raw" 17408 >"$dir/0.json"
piece 1 "${part[1]}" "$(blockdev --getsize64 "${part[1]}")" >"$dir/1.json"
e2fsck -fy "${part[2]}" >/dev/null 2>&1
resize2fs -M "${part[2]}" >/dev/null 2>&1
blocks=$(dumpe2fs -h "${part[2]}" 2>/dev/null | sed -n 's/^Block count: *//p')
piece 2 "${part[2]}" $((blocks * 4096)) >"$dir/2.json"
jq -n --slurpfile gpt "$dir/0.json" --slurpfile esp "$dir/1.json" --slurpfile root "$dir/2.json" --slurpfile packages "$dir/packages.json" \
	--rawfile release "$dir/os-release" --argjson size "$(stat -c %s "$dir/disk.raw")" '{
	version: "1.2", osArch: "x86_64", osRelease: $release, osPackages: $packages[0],
	disk: {size: $size, type: "gpt", lbaSize: 512, gptRegions: [
		{type: "primary-gpt", image: $gpt[0]}, {type: "partition", number: 1, image: $esp[0]}, {type: "partition", number: 2, image: $root[0]}]},
	images: [{image: $esp[0], mountPoint: "/boot/efi", fsType: "vfat"}, {image: $root[0], mountPoint: "/", fsType: "ext4"}],
	compression: {maxWindowLog: 27}}' >"$dir/cosi/metadata.json"
: >"$dir/cosi/cosi-marker"
tar -C "$dir/cosi" -cf "$out" cosi-marker metadata.json images
sync "$out"
