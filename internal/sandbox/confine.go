package sandbox

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// keptCapabilities are all that root has in an image; each other reaches the host or is used by nothing
// that changes an image. MKNOD stays, because dracut leaves device nodes out without it: the image's
// filesystems are mounted nodev instead. LINUX_IMMUTABLE is for chattr +i in scripts.
var keptCapabilities = []int{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL, unix.CAP_SETGID,
	unix.CAP_SETUID, unix.CAP_SETPCAP, unix.CAP_LINUX_IMMUTABLE, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT,
	unix.CAP_MKNOD, unix.CAP_SETFCAP,
}

// confine sets up what a program can no longer shed, but for capabilities, which go last: without no_new_privs,
// which would break setuid programs, this needs SYS_ADMIN. listener is that of confineCalls.
func confine() (listener int, err error) {
	// A crash starts the host's core dump handler, but for this one limit (core(5) of Linux: a pipe
	// ignores all others).
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
		return -1, fmt.Errorf("limit core dumps: %w", err)
	}
	if err := confineToImage(); err != nil {
		return -1, fmt.Errorf("close off the host's programs and abstract sockets: %w", err)
	}
	if listener, err = confineCalls(); err != nil {
		return -1, fmt.Errorf("install the system call filter: %w", err)
	}
	return listener, nil
}

// keepCapabilities leaves this thread, and what it starts, the kept capabilities at most.
func keepCapabilities() error {
	var kept uint64
	for _, c := range keptCapabilities {
		kept |= 1 << c
	}
	for c := uintptr(0); ; c++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil { // the kernel knows no more
			break
		}
		if has == 0 || kept&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return err
	}
	for i := range sets {
		have := sets[i].Permitted & uint32(kept>>(32*i))
		sets[i] = unix.CapUserData{Effective: have, Permitted: have}
	}
	return unix.Capset(&header, &sets[0])
}

// shedCapabilities leaves this process none, in all its threads. Those of the bounding set come back to what root
// starts.
func shedCapabilities() {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	if errno == unix.ENOTSUP { // a test program with C in it, which Go does not know all threads of
		_ = unix.Capset(&header, &none[0])
	}
}

// Versions of Landlock that brought what is used here.
const (
	abiRefer  = 2 // Linux 5.19: files can be moved between folders although programs are restricted
	abiScopes = 6 // Linux 6.12
)

// confineToImage keeps programs from what no mount namespace divides. Nothing outside of the image is executed:
// an interpreter that the host has registered with the flag F of binfmt_misc would be, and the image could
// change its file through /proc/PID/exe. And sockets of the host's daemons are not reached that have a name but no
// file, such as those of container runtimes: these go with the network, which package managers need. Where the kernel
// cannot do that, only scripts with "network: none" are kept from them; docs/decisions/0002 says what else it means.
func confineToImage() error {
	version := landlock()
	if version < abiRefer {
		return nil
	}
	const all = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_REFER
	attr, size := unix.LandlockRulesetAttr{Handled_access_fs: all}, uintptr(8) // of the fields that every version has
	if version >= abiScopes {
		attr.Scoped, size = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, 3*8
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(fd))
	root, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	beneath := unix.LandlockPathBeneathAttr{Allowed_access: all, Parent_fd: int32(root)}
	_, _, errno = unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, fd, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&beneath)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if _, _, errno = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// landlock is the version of the kernel's Landlock; 0 where there is none.
func landlock() uintptr {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return version
}
