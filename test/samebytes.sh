#!/bin/bash
# samebytes.sh BEFORE AFTER [CASE...]: two builds of the program, made with one VERSION, must write the same bytes from
# the same inputs. Each case is a base image, the outputs and a config without packages. The kernel frees blocks a moment
# after it says so (decision 5): a case that differs is run again with both, and only a second difference counts.
set -euo pipefail
before=$1 after=$2; shift 2
base=${BASE:-$HOME/.cache/imagecustomizer/base}
work=$(mktemp -d "${TMPDIR:-/tmp}/samebytes.XXXXXX"); trap 'rm -rf "$work"' EXIT
export SOURCE_DATE_EPOCH=1750000000

# case NAME IMAGE OUTPUTS, with the config on standard input; OUTPUTS are formats, or flags behind "--".
cases=()
case_() { cases+=("$1"); echo "$2" >"$work/$1.image"; echo "$3" >"$work/$1.out"; cat >"$work/$1.yaml"; }
case_ system debian12-efi "raw vhd vhd-fixed vhdx qcow2" <<'C'
os:
  hostname: same
  groups: [{name: operators, gid: 1500}]
  users: [{name: alice, password: {type: hashed, value: "$6$aaaaaaaa$CWEkfKBwMBAdp9PvDbPKW2kgLGuDTj9JyPnVVyj4FfoWdeSUUUWGVMHITeOGC4NUdYTrPd2xcHRNQZvpDzXUk0"}, secondaryGroups: [operators]}]
  additionalFiles: [{content: "hello\n", destination: /etc/hello, permissions: "600"}]
  services: {enable: [systemd-networkd]}
  modules: [{name: nbd, loadMode: always}]
  kernelCommandLine: {extraCommandLine: [same.argument=1]}
scripts:
  postCustomization: [{content: "for i in 1 2 3; do head -c 200000 /dev/zero | tr '\\0' $i >/root/$i; done; rm /root/2"}]
C
case_ bios debian12-bios "qcow2 vhdx" <<<'os: {hostname: bios}'
case_ mbr debian12-mbr "raw vhd" <<<'os: {hostname: mbr}'
case_ parts debian12-efi "cosi baremetal-image raw" <<<'os: {hostname: parts}'
case_ split debian12-efi "-- --output-split-partitions-format raw-zstd --shrink-filesystems --output-image-file OUT/x.raw" <<<'os: {hostname: split}'
case_ shrink debian12-efi "vhd-fixed" <<<'{storage: {shrink: {headroom: 64M}}, os: {hostname: shrink}}'
case_ identifiers debian12-efi "raw" <<<'{storage: {resetPartitionsUuidsType: reset-all}, os: {bootloader: {resetType: hard-reset}}}'
case_ grow debian12-efi "raw" <<<'{storage: {resizeDisk: {size: 3G}}, os: {hostname: grow}}'
case_ disk debian12-efi "raw vhdx" <<'C'
storage:
  bootType: efi
  disks: [{partitionTableType: gpt, partitions: [{id: esp, type: esp, size: 64M}, {id: root, size: 1800M}, {id: var, size: 300M}]}]
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: {path: /boot/efi, options: umask=0077}}
  - {deviceId: root, type: ext4, mountPoint: /}
  - {deviceId: var, type: ext4, mountPoint: /var}
os: {bootloader: {resetType: hard-reset}}
C
case_ verity debian12-seal "raw cosi" <<'C'
storage:
  verity:
  - {id: usrverity, name: usr, dataDevice: {idType: part-label, id: usr}, hashDevice: {idType: part-label, id: usr-hash}}
C
case_ live debian12-live "iso" <<<'os: {hostname: live}'

run() { # BINARY CASE DIR
	local flags=() o; mkdir -p "$3/out"
	read -ra o <"$work/$2.out"
	if [ "${o[0]}" = -- ]; then flags=("${o[@]:1}"); flags=("${flags[@]/OUT/$3/out}")
	else for f in "${o[@]}"; do flags+=(--output "$f=$3/out/x.$f"); done; fi
	"$1" customize --quiet --seed same --build-dir "$3/build" --image-file "$(ls -t "$base/$(cat "$work/$2.image")"-*.raw | head -1)" \
		--config-file "$work/$2.yaml" "${flags[@]}" >"$3/log" 2>&1 || { cat "$3/log"; return 1; }
	(cd "$3/out" && sha256sum -- *) >"$3/sums"; rm -r "$3/out" "$3/build"
}
bad=0
[ $# -gt 0 ] || set -- "${cases[@]}"
for c; do
	for try in 1 2; do
		for b in before after; do
			d="$work/$c.$b"; rm -rf "$d"; mkdir "$d"
			run "${!b}" "$c" "$d" || { echo "$c: the run of $b failed"; bad=1; continue 2; }
		done
		if diff "$work/$c".{before,after}/sums; then echo "$c: the same"; break
		elif [ $try = 2 ]; then echo "$c: DIFFERENT"; bad=1; fi
	done
done
exit $bad
