//go:build root || boot

package hostile

// attack is what a script of a hostile image tries. It is first run in a plain chroot, in which it
// must succeed, and then by the program, in which it must not.
type attack struct {
	name   string
	script string // for the image's shell; exit status 0 is success, unless there is a probe
	setup  string // for the host's shell, before
	probe  string // for the host's shell, after: exit status 0 means that the attack succeeded
	undo   string // for the host's shell, after a success
	where  place
	alone  bool // the script has no network
	pivot  bool // a chroot hides it: the plain half runs with the image as the root of a mount namespace
}

// place is where an attack may be tried.
type place int

const (
	anywhere  place = iota
	guestOnly       // it could harm this machine, or this machine's kernel lacks what it needs
	newKernel       // it is refused only by kernels newer than the guest's
	hostOnly        // in the guest, process 1 is systemd, of whose mounts a plain chroot can bind none either
)

// Scripts find the attack program in the config file's folder, as A and A32. Host scripts run in the
// folder of the test and find the config file's folder as CONF, and their own as HOST.
var attacks = []attack{
	// The host's files.
	{name: "write into the config folder", script: "echo evil > $C/evil", probe: "[ -e $CONF/evil ]", undo: "rm $CONF/evil"},
	{name: "change a file of the config folder", script: "echo evil > $C/note", probe: "grep -q evil $CONF/note", setup: "echo good > $CONF/note"},
	{name: "delete a file of the config folder", script: "rm $C/victim", probe: "[ ! -e $CONF/victim ]", setup: "echo > $CONF/victim"},
	{name: "change the mode of a file of the config folder", script: "chmod 777 $C/mode", probe: "[ -x $CONF/mode ]", setup: "echo > $CONF/mode; chmod 600 $CONF/mode", undo: "chmod 600 $CONF/mode"},
	{name: "make the config folder writable", script: "mount -o remount,rw,bind $C && echo evil > $C/evil2", probe: "[ -e $CONF/evil2 ]", undo: "rm $CONF/evil2"},
	{name: "read through the root of process 1", script: "grep -q canary /proc/1/root$HOST/canary"},
	{name: "write through the root of process 1", script: "echo evil > /proc/1/root$HOST/evil", probe: "[ -e $HOST/evil ]", undo: "rm $HOST/evil"},
	{name: "list the working folder of process 1", script: "ls /proc/1/cwd/"},
	{name: "list the open files of process 1", script: "ls -l /proc/1/fd/ | grep -q /"},
	{name: "read the environment of process 1", script: "head -c 1 /proc/1/environ >/dev/null"},
	{name: "bind the root of process 1", where: hostOnly, script: "mkdir -p /tmp/b; mount --bind /proc/1/root /tmp/b && grep -q canary /tmp/b$HOST/canary; s=$?; umount /tmp/b; exit $s"},
	{name: "climb out of the chroot", script: "$A chroot-escape $HOST/canary"},
	{name: "open a folder by its handle", script: "$A open-by-handle $C"},
	{name: "use an inherited descriptor", script: "grep -q canary /proc/self/fd/9/canary"},
	{name: "read the environment of whoever started the run", script: "[ -n \"$SECRET\" ]"},

	// The host's disks and devices.
	{name: "make the node of the host's disk in /dev", script: "mknod /dev/evil b $(cat $C/disk) && head -c 512 /dev/evil | grep -q canary; s=$?; rm -f /dev/evil; exit $s"},
	{name: "make the node of the host's disk elsewhere", script: "mknod /root/evil b $(cat $C/disk) && head -c 512 /root/evil | grep -q canary"},
	{name: "make the node of the host's disk in /tmp", script: "mknod /tmp/evil b $(cat $C/disk) && head -c 512 /tmp/evil | grep -q canary"},
	{name: "find the host's disk in /dev", script: "for d in /dev/loop*; do [ -b $d ] && head -c 512 $d 2>/dev/null | grep -q canary && exit 0; done; exit 1"},
	{name: "open the node of the host's memory", where: guestOnly, script: "mknod /root/mem c 1 1 && head -c 1 /root/mem > /dev/null"},
	{name: "write to the kernel's log", where: guestOnly, script: "mknod /root/kmsg c 1 11 && echo '<7>attack' > /root/kmsg"},
	{name: "read the kernel's log", script: "$A syslog"},
	{name: "ask for a free loop device", script: "[ -n \"$(losetup -f 2>/dev/null)\" ] && [ -c /dev/loop-control ]"},
	{name: "type into the terminal", script: "$A tiocsti"},

	// Interfaces of the kernel.
	{name: "write a kernel setting", script: "cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness"},
	{name: "set the host's core dump handler", script: "cat /proc/sys/kernel/core_pattern > /proc/sys/kernel/core_pattern"},
	{name: "start the host's core dump handler", where: guestOnly, setup: "printf '#!/bin/sh\\ncat >/dev/null; touch %s/dumped\\n' $HOST > /root/h; chmod +x /root/h; echo '|/root/h' > /proc/sys/kernel/core_pattern", script: "$A core-dump; sleep 1", probe: "[ -e $HOST/dumped ]", undo: "rm $HOST/dumped"},
	{name: "use the magic SysRq key", where: guestOnly, script: "echo h > /proc/sysrq-trigger", probe: "dmesg | tail -40 | grep -q 'sysrq: HELP'", undo: "dmesg -C"},
	{name: "read the kernel's memory", where: guestOnly, script: "head -c 4 /proc/kcore | grep -q ELF"},
	{name: "list the host's keys", setup: "$CONF/attack add-key", script: "[ -n \"$(cat /proc/keys)\" ]"},
	{name: "list the kernel's timers", where: guestOnly, script: "[ -n \"$(cat /proc/timer_list)\" ]"},
	{name: "direct the host's interrupts", where: guestOnly, script: "cat /proc/irq/default_smp_affinity > /proc/irq/default_smp_affinity"},
	{name: "write to sysfs", where: guestOnly, script: "cat /sys/kernel/mm/ksm/run > /sys/kernel/mm/ksm/run"},
	{name: "look at the host's firmware", where: guestOnly, script: "[ -n \"$(ls /sys/firmware/)\" ]"},
	{name: "load a kernel module", where: guestOnly, setup: "cp $(find /lib/modules -name 'dummy.ko*' | head -1) $CONF/dummy.ko; rmmod dummy 2>/dev/null || true", script: "$A insmod $C/dummy.ko", probe: "grep -q ^dummy /proc/modules", undo: "rmmod dummy"},
	{name: "unload a kernel module", where: guestOnly, setup: "modprobe tun", script: "rmmod tun", probe: "! grep -q '^tun ' /proc/modules"},
	{name: "set the clock", where: guestOnly, script: "$A settime"},
	{name: "slew the clock", where: guestOnly, script: "$A adjtime"},
	{name: "set the host's name", where: guestOnly, script: "hostname evil", probe: "[ $(hostname) = evil ]", undo: "hostname debian"},
	{name: "switch on process accounting", where: guestOnly, script: "$A acct /root/acct"},
	{name: "swap to a file", where: guestOnly, script: "$A swapon /root/swap"},
	{name: "use I/O ports", where: guestOnly, script: "$A iopl"},
	{name: "set what Ctrl-Alt-Del does", where: guestOnly, script: "$A reboot"},
	{name: "load another kernel", where: guestOnly, script: "$A kexec"},

	{name: "see where the host has its images", script: "cat /sys/block/loop*/loop/backing_file | grep -q /"},
	{name: "list the host's disks", script: "ls /sys/block | grep -qv '^loop'"},
	{name: "list the host's disks by number", script: "ls -l /sys/dev/block/ | grep -q 'block/[^l]'"},
	{name: "read how busy the host's disks are", script: "grep -q '[a-z]' /proc/diskstats"},
	{name: "list the host's partitions", script: "grep -q '[0-9]' /proc/partitions"},
	{name: "read the addresses of the host's network cards", script: "cat /sys/class/net/*/address | grep -q :"},
	{name: "read what processors the host has", script: "ls /sys/devices/system/cpu/cpu0/ | grep -q ."},
	{name: "list the host's hardware", script: "ls /sys/bus/ | grep -q ."},

	// System calls past namespaces.
	{name: "new user namespace by unshare", pivot: true, script: "$A userns"},
	{name: "new user namespace by unshare, from the shell", pivot: true, script: "unshare -U true"},
	{name: "new user namespace by clone", pivot: true, script: "$A userns-clone"},
	{name: "new user namespace by clone3", pivot: true, script: "$A clone3"},
	{name: "new mount namespace", script: "unshare -m true"},
	{name: "new network namespace", script: "$A netns"},
	{name: "enter the mount namespace of process 1", script: "$A setns"},
	{name: "mount a tmpfs", script: "mkdir -p /tmp/t; mount -t tmpfs none /tmp/t"},
	{name: "mount proc anew", script: "mkdir -p /tmp/p; mount -t proc none /tmp/p"},
	{name: "mount sysfs anew", script: "mkdir -p /tmp/s; mount -t sysfs none /tmp/s"},
	{name: "mount debugfs", where: guestOnly, script: "mkdir -p /tmp/d; mount -t debugfs none /tmp/d"},
	{name: "mount a control group's release agent", where: guestOnly, script: "mkdir -p /tmp/cg; mount -t cgroup -o none,name=evil none /tmp/cg && [ -w /tmp/cg/release_agent ]"},
	{name: "make a control group", where: guestOnly, script: "mkdir -p /tmp/c2; mount -t cgroup2 none /tmp/c2 && mkdir /tmp/c2/evil", probe: "[ -d /sys/fs/cgroup/evil ]", undo: "rmdir /sys/fs/cgroup/evil"},
	{name: "make /proc/sys writable", script: "mount -o remount,rw,bind /proc/sys 2>/dev/null; [ -w /proc/sys/vm/swappiness ] && cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness"},
	{name: "unmount what covers /proc", script: "umount /proc/keys 2>/dev/null; umount /proc/sys 2>/dev/null; [ -n \"$(cat /proc/keys)\" ]"},
	{name: "clone a mount by its new call", script: "$A open-tree"},
	{name: "open a filesystem by its new call", script: "$A fsopen"},
	{name: "add a key to the user's keyring", script: "$A add-key"},
	{name: "get at the session keyring", script: "$A session-key"},
	{name: "make a BPF map", script: "$A bpf"},
	{name: "watch performance events", script: "$A perf"},
	{name: "handle page faults in user space", script: "$A userfaultfd"},
	{name: "set up an io_uring", script: "$A io-uring"},

	// The same with the numbers of 32-bit programs.
	{name: "32-bit: new user namespace by unshare", pivot: true, script: "$A32 userns"},
	{name: "32-bit: new user namespace by clone", pivot: true, script: "$A32 userns-clone"},
	{name: "32-bit: new user namespace by clone3", pivot: true, script: "$A32 clone3"},
	{name: "32-bit: new mount namespace", script: "$A32 mountns"},
	{name: "32-bit: open a folder by its handle", script: "$A32 open-by-handle $C"},
	{name: "32-bit: add a key to the user's keyring", script: "$A32 add-key"},
	{name: "32-bit: make a BPF map", script: "$A32 bpf"},
	{name: "32-bit: watch performance events", script: "$A32 perf"},
	{name: "32-bit: handle page faults in user space", script: "$A32 userfaultfd"},
	{name: "32-bit: set up an io_uring", script: "$A32 io-uring"},
	{name: "32-bit: load a kernel module", where: guestOnly, setup: "cp $(find /lib/modules -name 'dummy.ko*' | head -1) $CONF/dummy.ko; rmmod dummy 2>/dev/null || true", script: "$A32 insmod $C/dummy.ko", probe: "grep -q ^dummy /proc/modules", undo: "rmmod dummy"},
	{name: "32-bit: set the clock", where: guestOnly, script: "$A32 settime"},

	// Processes.
	{name: "trace the tool", script: "$A ptrace $(pidof_tool)"},
	{name: "read the memory map of the tool", script: "$A read-memory $(pidof_tool)"},
	{name: "take a descriptor of the tool", script: "$A pidfd-getfd $(pidof_tool)"},
	{name: "list the open files of the tool", script: "ls -l /proc/$(pidof_tool)/fd/ | grep -q ' -> '"},
	{name: "reach the root of the tool", script: "ls /proc/$(pidof_tool)/root/"},
	{name: "see a process of the host", script: "grep -qs canary /proc/$(cat $C/pid)/cmdline"},
	{name: "end a process of the host", script: "kill -9 $(cat $C/pid2)", setup: "sleep 4300 & echo $! > $CONF/pid2", probe: "! grep -qs 4300 /proc/$(cat $CONF/pid2)/cmdline"},
	{name: "outlive the run", script: "setsid sleep 4244 >/dev/null 2>&1 &", probe: "pgrep -f 'sleep 4244'", undo: "pkill -f 'sleep 4244'"},
	{name: "outlive the run, deaf to signals", script: "(trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM HUP; sleep 4245; sleep 4245' >/dev/null 2>&1 &)", probe: "pgrep -f 'sleep 4245'", undo: "pkill -9 -f 'sleep 4245'"},
	{name: "raise a limit", where: guestOnly, script: "$A rlimit"},
	{name: "take real-time priority", script: "$A realtime"},
	{name: "take a higher priority", script: "$A nice"},

	{name: "order the loop device of a disk about", script: "d=/dev/vda; [ ! -c /dev/loop-control ] || { d=/root/l1; mknod $d b $(cat $C/disk); }; $A loop-status $d"},
	{name: "32-bit: order the loop device of a disk about", script: "d=/dev/vda; [ ! -c /dev/loop-control ] || { d=/root/l2; mknod $d b $(cat $C/disk); }; $A32 loop-status $d"},
	{name: "write to a disk past its filesystem", script: "d=/dev/vda; [ ! -c /dev/loop-control ] || { d=/root/l3; mknod $d b $(cat $C/disk); }; head -c 512 $d > /tmp/sector && cat /tmp/sector > $d"},

	// Talking to the host.
	{name: "attach shared memory of the host", setup: "ipcmk -M 4096 >/dev/null; ipcs -m | awk '/^0x/{k=$1} END{print k}' > $CONF/shm", script: "$A shm $(printf %d $(cat $C/shm))"},
	{name: "read POSIX shared memory of the host", setup: "echo canary > /dev/shm/mic-canary", script: "cat /dev/shm/mic-canary", undo: "rm -f /dev/shm/mic-canary"},
	{name: "connect to an abstract socket of the host", where: newKernel, script: "$A abstract mic-canary"},
	{name: "connect to an abstract socket of the host, without a network", alone: true, script: "$A abstract mic-canary"},
	{name: "connect to a service of the host, without a network", alone: true, script: "$A tcp 127.0.0.1:41234"},
	{name: "read packets of the host", script: "$A packet"},
	{name: "send raw packets", script: "$A raw-socket"},
	{name: "32-bit: read packets of the host", script: "$A32 packet"},
	{name: "hear of the host's devices", script: "$A socket 16 3 15"},
	{name: "list the host's connections", script: "$A socket 16 3 4"},
	{name: "speak with the kernel's modules", script: "$A socket 16 3 16"},
	{name: "32-bit: hear of the host's devices", script: "$A32 socket 16 3 15"},
	{name: "32-bit: a raw socket by its own call", script: "$A32 socket 2 3 1"},
	{name: "a socket of a rare protocol", where: hostOnly, script: "$A socket 2 1 262 || $A socket 2 2 136"},
	{name: "32-bit: a socket of a rare protocol", where: hostOnly, script: "$A32 socket 2 1 262 || $A32 socket 2 2 136"},
	{name: "add an address to an interface", where: guestOnly, script: "ip addr add 10.99.9.9/32 dev lo", probe: "ip addr show dev lo | grep -q 10.99.9.9", undo: "ip addr del 10.99.9.9/32 dev lo"},
}
