package fault

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bpfInsn is struct bpf_insn of linux/bpf.h.
type bpfInsn struct {
	code uint8
	regs uint8 // destination in the low half, source in the high one
	off  int16
	imm  int32
}

// denyPartitions is a program for the device controller of a cgroup, as container engines load one:
// block devices of major number 259 may be made but not opened. Its input is struct
// bpf_cgroup_dev_ctx: the kind of device and, above it, the kind of access; then the major number.
var denyPartitions = []bpfInsn{
	{code: unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W, regs: 0x12, off: 4},                 // r2 = major
	{code: unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W, regs: 0x13, off: 0},                 // r3 = access << 16 | kind
	{code: unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K, regs: 0x00, imm: 1},               // r0 = allowed
	{code: unix.BPF_JMP | unix.BPF_JNE | unix.BPF_K, regs: 0x02, off: 4, imm: 259},       // another device
	{code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, regs: 0x03, off: 3, imm: 1<<16 | 1}, // mknod of a block device
	{code: unix.BPF_ALU64 | unix.BPF_AND | unix.BPF_K, regs: 0x03, imm: 0xffff},          // r3 = kind
	{code: unix.BPF_JMP | unix.BPF_JNE | unix.BPF_K, regs: 0x03, off: 1, imm: 1},         // not a block device
	{code: unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K, regs: 0x00, imm: 0},               // r0 = denied
	{code: unix.BPF_JMP | unix.BPF_EXIT},
}

// DenyPartitions has the cgroup refuse the devices of loop partitions from now on.
func (w *Watch) DenyPartitions() error {
	license := []byte("MIT\x00")
	load := struct {
		kind, count    uint32
		insns, license uint64
		_              [96]byte
	}{
		unix.BPF_PROG_TYPE_CGROUP_DEVICE, uint32(len(denyPartitions)),
		uint64(uintptr(unsafe.Pointer(&denyPartitions[0]))), uint64(uintptr(unsafe.Pointer(&license[0]))),
		[96]byte{},
	}
	prog, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&load)), unsafe.Sizeof(load))
	if errno != 0 {
		return fmt.Errorf("load a program for devices: %w", errno)
	}
	defer unix.Close(int(prog))
	dir, err := w.openCgroup()
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	attach := struct{ target, prog, kind, flags uint32 }{uint32(dir), uint32(prog), unix.BPF_CGROUP_DEVICE, 0}
	if _, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_ATTACH, uintptr(unsafe.Pointer(&attach)), unsafe.Sizeof(attach)); errno != 0 {
		return fmt.Errorf("attach a program for devices: %w", errno)
	}
	return nil
}

// bareDev is a shell script that gives its arguments, a command, what a container has: a /dev with
// nothing in it but what every program may expect, read-only /sys and /proc/sys.
const bareDev = `
mount --make-rprivate /
mount -t tmpfs -o mode=755 dev /dev
for d in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 /dev/${d%:*} c 1 ${d#*:}; done
ln -s /proc/self/fd /dev/fd
mount --bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
mount -o remount,ro,bind /sys
exec "$@"
`

// Container wraps a command in what a container has, with these capabilities alone.
func Container(capabilities []string) []string {
	set := "-all"
	for _, c := range capabilities {
		set += ",+" + strings.ToLower(c)
	}
	return []string{"unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-ec", bareDev, "sh", "setpriv", "--bounding-set=" + set, "--"}
}

// DocumentedCapabilities are those that docs/containers.md says a container needs.
func DocumentedCapabilities(page string) (list []string, err error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	for _, word := range strings.Fields(string(text)) {
		if name, ok := strings.CutPrefix(word, "--cap-add="); ok {
			list = append(list, strings.Trim(name, "`.,;"))
		}
	}
	if len(list) == 0 {
		err = fmt.Errorf("%s names no --cap-add=", page)
	}
	return list, err
}
