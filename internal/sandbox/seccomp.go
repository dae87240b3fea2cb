package sandbox

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Fields of struct seccomp_data, in bytes (linux/seccomp.h).
const (
	dataNr   = 0
	dataArch = 4
	dataArg0 = 16
	dataArg1 = 24
	dataArg2 = 32
)

// abi is one table of system calls that a machine's kernel serves, with the numbers in it of those
// that are treated specially. An image may hold 32-bit programs, so all tables are filtered.
type abi struct {
	arch uint32
	// first is where another table begins within this one (x32, linux/unistd_x32.h), which is said
	// not to exist; 0 means none.
	first uint32
	// syncs only make data durable, which matters once, for the finished file: answered with success.
	syncs []uint32
	// refused reach kernel state that is not divided by namespaces: keyrings (the caller's session
	// keyring is the user's), modules, tracing; or turn an identifier into a file of the host.
	refused []uint32
	// absent are said not to exist, so that programs do without. io_uring does what other calls do
	// past this filter; clone3 hides its flags in memory, and libc falls back to clone.
	absent []uint32
	// clones take flags as their first argument; a new user namespace, in which a program would get
	// every capability back, is refused.
	clones []uint32
	// ioctls are refused the orders of loop devices: the image's disk is shown to it by one, which its programs
	// could keep alive, or make another file's.
	ioctls []uint32
	// sockets take the protocol family first, then type and protocol: see sockets.go.
	sockets []uint32
	// signals are the calls that may send SIGKILL, which process 1 is told of.
	signals []signalCall
}

// signalCall is a call that sends a signal: to the process that its first argument names, unless that says
// nothing of whom.
type signalCall struct {
	nr     uint32
	signal uint32 // which argument is the signal
	to     sentTo
}

type sentTo int

const (
	toFirst   sentTo = iota // the process that the first argument names
	toUnknown               // that of a descriptor
	toSelf                  // the caller, when its parent ends, if the first argument is PR_SET_PDEATHSIG
)

const (
	load    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	equal   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	atLeast = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	above   = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	bits    = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	ret     = unix.BPF_RET | unix.BPF_K

	allow   = unix.SECCOMP_RET_ALLOW
	succeed = unix.SECCOMP_RET_ERRNO // with errno 0
	refuse  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	unknown = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	tell    = unix.SECCOMP_RET_USER_NOTIF
)

// Orders of loop devices (linux/loop.h); those of /dev/loop-control follow, which no image has.
const (
	firstLoopOrder = 0x4C00
	lastLoopOrder  = 0x4C7F
)

// filter is the program for some tables of this machine; other answers the calls of all other tables.
func filter(tables []abi, other uint32) (prog []unix.SockFilter) {
	prog = append(prog, unix.SockFilter{Code: load, K: dataArch})
	for _, a := range tables {
		body := a.filter()
		prog = append(prog, where(a.arch, body)...)
	}
	return append(prog, unix.SockFilter{Code: ret, K: other})
}

// where goes through a part of a filter if what was loaded is k. The jump over it is one that may be long.
func where(k uint32, part []unix.SockFilter) []unix.SockFilter {
	skip := unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(part))}
	return append([]unix.SockFilter{{Code: equal, K: k, Jt: 1}, skip}, part...)
}

// filter decides about the calls of one table; it never falls through.
func (a abi) filter() (prog []unix.SockFilter) {
	prog = append(prog, unix.SockFilter{Code: load, K: dataNr})
	if a.first != 0 {
		prog = append(prog, unix.SockFilter{Code: atLeast, K: a.first, Jf: 1}, unix.SockFilter{Code: ret, K: unknown})
	}
	for _, rule := range []struct {
		numbers []uint32
		answer  uint32
	}{{a.syncs, succeed}, {a.refused, refuse}, {a.absent, unknown}} {
		for _, nr := range rule.numbers {
			prog = append(prog, unix.SockFilter{Code: equal, K: nr, Jf: 1}, unix.SockFilter{Code: ret, K: rule.answer})
		}
	}
	for _, c := range a.signals {
		prog = append(prog, where(c.nr, c.decide())...)
	}
	for _, rule := range []struct {
		numbers []uint32
		decide  []unix.SockFilter
	}{{a.clones, aboutClones}, {a.ioctls, aboutOrders}, {a.sockets, aboutSockets()}} {
		for _, nr := range rule.numbers {
			prog = append(prog, where(nr, rule.decide)...)
		}
	}
	return append(prog, unix.SockFilter{Code: ret, K: allow})
}

// Parts of a filter that decide about a call by its arguments. None falls through.
var (
	aboutClones = []unix.SockFilter{
		{Code: load, K: dataArg0}, {Code: bits, K: unix.CLONE_NEWUSER, Jf: 1},
		{Code: ret, K: refuse}, {Code: ret, K: allow},
	}
	aboutOrders = []unix.SockFilter{
		{Code: load, K: dataArg1}, {Code: atLeast, K: firstLoopOrder, Jf: 2}, {Code: above, K: lastLoopOrder, Jt: 1},
		{Code: ret, K: refuse}, {Code: ret, K: allow},
	}
)

// decide tells of a SIGKILL.
func (c signalCall) decide() (prog []unix.SockFilter) {
	if c.to == toSelf {
		prog = append(prog, unix.SockFilter{Code: load, K: dataArg0}, unix.SockFilter{Code: equal, K: unix.PR_SET_PDEATHSIG, Jf: 3})
	}
	return append(prog,
		unix.SockFilter{Code: load, K: dataArg0 + 8*c.signal}, unix.SockFilter{Code: equal, K: uint32(unix.SIGKILL), Jf: 1},
		unix.SockFilter{Code: ret, K: tell}, unix.SockFilter{Code: ret, K: allow})
}

// native is the table this program itself was built for.
func native(arch, first uint32) abi {
	return abi{
		arch: arch, first: first,
		syncs: []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC, unix.SYS_SYNCFS, unix.SYS_SYNC_FILE_RANGE, unix.SYS_MSYNC},
		refused: []uint32{
			unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
			unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
			unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_SYSLOG,
		},
		absent: []uint32{unix.SYS_CLONE3, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER},
		clones: []uint32{unix.SYS_CLONE, unix.SYS_UNSHARE},
		ioctls: []uint32{unix.SYS_IOCTL}, sockets: []uint32{unix.SYS_SOCKET, unix.SYS_SOCKETPAIR},
		signals: []signalCall{
			{unix.SYS_KILL, 1, toFirst}, {unix.SYS_TKILL, 1, toFirst}, {unix.SYS_TGKILL, 2, toFirst},
			{unix.SYS_RT_SIGQUEUEINFO, 1, toFirst}, {unix.SYS_RT_TGSIGQUEUEINFO, 2, toFirst},
			{unix.SYS_PIDFD_SEND_SIGNAL, 1, toUnknown}, {unix.SYS_PRCTL, 1, toSelf},
		},
	}
}

// confineCalls filters the calls of this process, and of what it starts. A table that is not known here
// is said to be empty. listener is the descriptor that tells of every SIGKILL; -1 where whoever started us has
// one already, as some container engines do: a process has only one.
func confineCalls() (listener int, err error) {
	const all = unix.SECCOMP_FILTER_FLAG_TSYNC
	listener, err = install(filter(abis, unknown), all|unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH)
	if !errors.Is(err, unix.EBUSY) {
		return listener, err
	}
	silent := slices.Clone(abis)
	for i := range silent {
		silent[i].signals = nil
	}
	_, err = install(filter(silent, unknown), all)
	return -1, err
}

// IgnoreSyncs has this process, and every program it starts from now on, not wait for files to reach the
// disk. What the worker writes has no name yet and is synced once, when it gets one, but mkfs and fsck
// flush the loop device, for which the kernel writes the whole file behind it. Data that could not be
// written is noticed all the same: see disk.CheckWritten and disk.Watched.
func IgnoreSyncs() error {
	native := abi{arch: abis[0].arch, syncs: []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC}}
	if _, err := install(filter([]abi{native}, allow), unix.SECCOMP_FILTER_FLAG_TSYNC); err != nil {
		return fmt.Errorf("install the filter of sync calls: %w", err)
	}
	return nil
}

func install(f []unix.SockFilter, flags uintptr) (listener int, err error) {
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}
