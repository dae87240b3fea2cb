package sandbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Fields of struct seccomp_data, in bytes (linux/seccomp.h).
const (
	dataNr   = 0
	dataArch = 4
	dataArg0 = 16
)

// syncCalls only make data durable, which matters once, for the finished file.
var syncCalls = []uint32{
	unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC, unix.SYS_SYNCFS, unix.SYS_SYNC_FILE_RANGE, unix.SYS_MSYNC,
}

// filter answers sync calls with success and refuses new user namespaces, in which a program would
// get every capability back. clone3 hides its flags in memory, so it is said not to exist and libc
// falls back to clone.
func filter() []unix.SockFilter {
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		bits  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K
		allow = unix.SECCOMP_RET_ALLOW
		errno = unix.SECCOMP_RET_ERRNO
	)
	prog := []unix.SockFilter{
		{Code: load, K: dataArch},
		{Code: equal, K: nativeArch, Jt: 1},
		{Code: ret, K: allow},
		{Code: load, K: dataNr},
	}
	for _, nr := range syncCalls {
		prog = append(prog, unix.SockFilter{Code: equal, K: nr, Jf: 1}, unix.SockFilter{Code: ret, K: errno})
	}
	return append(prog,
		unix.SockFilter{Code: equal, K: unix.SYS_CLONE3, Jf: 1}, unix.SockFilter{Code: ret, K: errno | uint32(unix.ENOSYS)},
		unix.SockFilter{Code: equal, K: unix.SYS_CLONE, Jt: 1}, unix.SockFilter{Code: equal, K: unix.SYS_UNSHARE, Jf: 3},
		unix.SockFilter{Code: load, K: dataArg0}, unix.SockFilter{Code: bits, K: unix.CLONE_NEWUSER, Jf: 1},
		unix.SockFilter{Code: ret, K: errno | uint32(unix.EPERM)}, unix.SockFilter{Code: ret, K: allow})
}

func installFilter() error {
	f := filter()
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}
