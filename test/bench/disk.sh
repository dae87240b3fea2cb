# Sourced by the scripts of "make bench": disks by hand, on hosts without udev, partition scanning or
# vfat. Whatever is attached or mounted ends with the script, even when it is killed.

declare -A nodes

# alone re-executes the script in a mount namespace of its own and makes it a scratch folder, "dir".
alone() {
	[ -n "${inside:-}" ] || inside=1 exec unshare --mount --propagation private "$@"
	dir=$(mktemp -d /var/tmp/reference-XXXXXX)
	trap 'leave' EXIT
}

leave() {
	awk -v d="$dir/" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | tac | xargs -r umount
	rm -rf --one-file-system "$dir"
}

# partitions FILE prints number, start and size in bytes of each partition, in the order of the disk.
partitions() {
	sfdisk --json "$1" | jq -r '.partitiontable | .sectorsize as $s | .partitions | to_entries[] | "\(.key + 1) \(.value.start * $s) \(.value.size * $s)"'
}

# attach FILE START SIZE [OPTION...] attaches a part of a file; "device" is its node. A descriptor of the
# script holds it: when that closes, the kernel detaches it.
attach() {
	local file=$1 start=$2 size=$3 fd
	shift 3
	device=$(losetup --find --show --offset "$start" --sizelimit "$size" "$@" "$file")
	exec {fd}<"$device"
	losetup --detach "$device" # takes effect when the descriptor and the last mount are gone
}

# attach_all FILE NAME [OPTION...] attaches every partition, the first as a disk called NAMEa; "part" holds
# their nodes by number.
attach_all() {
	local file=$1 prefix=$2 letters=abcdefgh name number start size
	shift 2
	part=()
	while read -r number start size; do
		attach "$file" "$start" "$size" "$@"
		name=$prefix${letters:number - 1:1}
		nodes[$name]=$(stat -c '0x%t 0x%T' "$device")
		part[number]=/dev/$name
	done < <(partitions "$file")
}

# own_dev replaces /dev, for the script, by one with all that was attached under the names given to it:
# GRUB makes no menu for a device called loop, nor
# for a partition without its disk.
own_dev() {
	local name
	mkdir "$dir/dev"
	mount -t tmpfs dev "$dir/dev"
	for name in null zero random urandom; do cp -a "/dev/$name" "$dir/dev"; done
	ln -s /proc/self/fd "$dir/dev/fd"
	for name in "${!nodes[@]}"; do mknod "$dir/dev/$name" b ${nodes[$name]}; done
	mkdir -p "$dir/dev/disk/by-uuid"
	mount --move "$dir/dev" /dev
}

uuid() { blkid -p -s UUID -o value "$1"; }

# enter ROOT makes a tree fit to run programs in.
enter() {
	local root=$1 node
	for node in "${part[@]}"; do
		if [ -n "$(uuid "$node")" ]; then ln -sf "../../${node##*/}" "/dev/disk/by-uuid/$(uuid "$node")"; fi
	done
	mount --bind /dev "$root/dev"
	mount -t proc proc "$root/proc"
	mount -t sysfs sysfs "$root/sys"
	mount -t tmpfs tmp "$root/tmp"
}

# within ROOT COMMAND... runs a program of a tree.
within() { chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "${@:2}"; }
