#!/bin/bash
# drive.sh DIR TOOL: tries every attack in DIR/config/attacks first in a plain chroot of DIR/disk.raw and
# then as scripts that TOOL runs, and prints for each: NAME, a tab, and two exit statuses, of which 0
# means that the attack succeeded. Run it under a terminal, in mount, IPC and network namespaces of its own.
set -u
cd "$1"
tool=$2
export HOST=$PWD/host CONF=$PWD/config
offset=$((5 << 20)) # of the root file system; see package tinydisk
mkdir -p host mnt results
echo canary > host/canary

ip link set lo up
# The host has a disk, a daemon on two kinds of sockets, and a process called like the tool.
yes canary | head -c 1048576 > host/disk
disk=$(losetup -f --show host/disk)
stat -c '0x%t 0x%T' "$disk" | { read -r a b; echo $((a)) $((b)); } > config/disk
config/attack listen tcp 127.0.0.1:41234 & daemon1=$!
config/attack listen unix @mic-canary & daemon2=$!
bash -c 'exec -a canary sleep 4301' & victim=$!
echo $victim > config/pid
cp "$(command -v sleep)" host/imagecustomizer
host/imagecustomizer 4302 & named=$!
trap 'kill -9 $daemon1 $daemon2 $victim $named 2>/dev/null; losetup -d $disk; umount -l mnt 2>/dev/null' EXIT

of() { cat "config/attacks/$1/$2" 2>/dev/null; } # CASE PART
host() { bash -c "$(of "$1" "$2")" >/dev/null 2>>log; }
outcome() { # CASE STATUS: the probe's status, where there is one
  if [ -e "config/attacks/$1/probe" ]; then sleep 0.05; host "$1" probe; echo $?; else echo "$2"; fi
}

cp --sparse=always disk.raw naive.raw
mount -o loop,offset=$offset naive.raw mnt || exit 1
for d in dev proc sys; do mount --rbind /$d mnt/$d || exit 1; done
mkdir -p mnt/_imageconfigs && mount --bind config mnt/_imageconfigs
declare -A naive
for c in config/attacks/*; do
  c=${c#config/attacks/}
  enter=(chroot mnt)
  [ ! -e "config/attacks/$c/pivot" ] || enter=(unshare -m sh -c 'cd mnt && pivot_root . root && exec chroot . "$@"' pivot)
  SECONDS=0; host "$c" setup
  SECRET=hunter2 timeout -k 1 30 "${enter[@]}" /bin/sh /_imageconfigs/one.sh "$c" 9<host >>log 2>&1
  naive[$c]=$(outcome "$c" $?); [ $SECONDS -lt 3 ] || echo "slow: $c, $SECONDS s" >>log
  [ "${naive[$c]}" != 0 ] || host "$c" undo
done
umount -l mnt

for c in config/attacks/*; do host "${c#config/attacks/}" setup; done
export SECRET=hunter2
cp --sparse=always disk.raw base.raw
"$tool" customize --build-dir build --image-file base.raw --config-file config/config.yaml \
  --output-image-file out.raw --output-image-format raw --package-cache-dir cache 9<host >run.log 2>&1
printf '\nrun\t%s\n' $?
cmp disk.raw base.raw >/dev/null; echo "base	$?"
debugfs -R 'cat /results' "out.raw?offset=$offset" 2>/dev/null > results/all
debugfs -R 'cat /results-alone' "out.raw?offset=$offset" 2>/dev/null >> results/all
for c in config/attacks/*; do
  c=${c#config/attacks/}
  inside=$(grep -- "^$c " results/all | cut -d' ' -f2)
  echo "$c	${naive[$c]} $(outcome "$c" "${inside:-missing}")"
done
cat results/all run.log > tried
