// Command attack tries one thing that a program inside an image must not achieve and that a shell
// cannot do. It is built for the machine's own and for the 32-bit system call table. Exit status 0
// means that the attack succeeded.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attacks by name; the rest of the command line is theirs.
var attacks = map[string]func(args []string) error{
	"userns":         func([]string) error { return start(&syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWUSER}) },
	"userns-clone":   func([]string) error { return start(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}) },
	"clone3":         clone3User,
	"mountns":        func([]string) error { return unix.Unshare(unix.CLONE_NEWNS) },
	"netns":          func([]string) error { return unix.Unshare(unix.CLONE_NEWNET) },
	"setns":          setns,
	"chroot-escape":  chrootEscape,
	"open-by-handle": openByHandle,
	"open-tree":      openTree,
	"fsopen":         func([]string) error { _, err := unix.Fsopen("tmpfs", 0); return err },
	"add-key": func([]string) error {
		_, err := unix.AddKey("user", "attack", []byte("x"), unix.KEY_SPEC_USER_KEYRING)
		return err
	},
	"session-key": func([]string) error {
		_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true)
		return err
	},
	"bpf":         bpfMap,
	"perf":        perf,
	"userfaultfd": func([]string) error { return call(unix.SYS_USERFAULTFD, 0, 0, 0) },
	"io-uring":    ioUring,
	"tiocsti":     typeIntoTerminal,
	"listen":      listen,
	"abstract":    func(a []string) error { return dial("unix", "@"+a[0]) },
	"tcp":         func(a []string) error { return dial("tcp", a[0]) },
	"packet":      func([]string) error { _, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0x0300); return err },
	"socket":      anySocket,
	"raw-socket": func([]string) error {
		_, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
		return err
	},
	"kexec": func([]string) error { return call(unix.SYS_KEXEC_LOAD, 0, 0, 0) },
	"reboot": func([]string) error {
		return call(unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_CAD_ON)
	},
	"settime": setTime,
	"adjtime": func([]string) error {
		_, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_MAXERROR, Maxerror: 16000000})
		return err
	},
	"rlimit":       raiseLimit,
	"nice":         func([]string) error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -5) },
	"realtime":     realtime,
	"ptrace":       func(a []string) error { return unix.PtraceAttach(outsider(a)) },
	"read-memory":  readMemory,
	"pidfd-getfd":  stealFile,
	"shm":          func(a []string) error { return sysvShared(a) },
	"syslog":       func([]string) error { _, err := unix.Klogctl(3, make([]byte, 64)); return err },
	"acct":         func(a []string) error { return acct(a[0]) },
	"iopl":         func([]string) error { return call(sysIopl, 3, 0, 0) },
	"swapon":       swapOn,
	"insmod":       insmod,
	"loop-status":  loopStatus,
	"core-dump":    coreDump,
	"sync-ignored": syncs,
}

func main() {
	if len(os.Args) < 2 || attacks[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "attack: unknown attack", os.Args[1:])
		os.Exit(2)
	}
	runtime.LockOSThread()
	if err := attacks[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Println(os.Args[1]+":", err)
		os.Exit(1)
	}
}

func call(nr, a, b, c uintptr) error {
	if _, _, errno := unix.Syscall(nr, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

// start starts a program that does nothing; what the attributes ask for is the attack.
func start(attr *syscall.SysProcAttr) error {
	cmd := exec.Command("/proc/self/exe")
	cmd.SysProcAttr = attr
	err := cmd.Start()
	if err == nil {
		_ = cmd.Wait()
	}
	return err
}

// clone3User passes the flags in memory, where a filter cannot see them.
func clone3User([]string) error {
	args := struct{ flags, pidfd, childTID, parentTID, exit, stack, size, tls uint64 }{flags: unix.CLONE_NEWUSER, exit: uint64(unix.SIGCHLD)}
	pid, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	switch {
	case errno != 0:
		return errno
	case pid == 0:
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
	return nil
}

func setns([]string) error {
	fd, err := unix.Open("/proc/1/ns/mnt", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // a thread that shares its root may not
		return err
	}
	return unix.Setns(fd, unix.CLONE_NEWNS)
}

// chrootEscape leaves a chroot by the classic way and reads the file named in what lies outside.
func chrootEscape(args []string) error {
	if err := errors.Join(os.MkdirAll("/tmp/jail", 0o755), unix.Chroot("/tmp/jail")); err != nil {
		return err
	}
	for range 64 {
		if err := unix.Chdir(".."); err != nil {
			return err
		}
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	_, err := os.ReadFile(args[0])
	return err
}

// openByHandle makes a handle of a folder of the image and opens by it, which looks at no path.
func openByHandle(args []string) error {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, args[0], 0)
	if err != nil {
		return err
	}
	dir, err := unix.Open(args[0], unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	_, err = unix.OpenByHandleAt(dir, handle, unix.O_RDONLY)
	return err
}

func openTree([]string) error {
	_, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE)
	return err
}

func bpfMap([]string) error {
	attr := struct{ kind, key, value, entries uint32 }{2, 4, 4, 1} // BPF_MAP_TYPE_ARRAY
	return call(unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
}

func perf([]string) error {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
	_, err := unix.PerfEventOpen(&attr, 0, -1, -1, 0)
	return err
}

func ioUring([]string) error {
	var params [120]byte
	return call(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&params)), 0)
}

// typeIntoTerminal puts a character into the input of the terminal of whoever started the run.
func typeIntoTerminal([]string) error {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	c := byte('x')
	return call(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSTI, uintptr(unsafe.Pointer(&c)))
}

// listen is the host's daemon: it accepts connections for a while.
func listen(args []string) error {
	l, err := net.Listen(args[0], args[1])
	if err != nil {
		return err
	}
	time.AfterFunc(10*time.Minute, func() { os.Exit(0) })
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		_ = c.Close()
	}
}

func dial(network, address string) error {
	c, err := net.Dial(network, address)
	if err == nil {
		err = c.Close()
	}
	return err
}

// anySocket makes a socket of a family, type and protocol, by the call that has them in registers on every machine.
func anySocket(args []string) error {
	var n [3]uintptr
	for i, a := range args {
		v, err := strconv.Atoi(a)
		if err != nil {
			return err
		}
		n[i] = uintptr(v)
	}
	return call(unix.SYS_SOCKET, n[0], n[1], n[2])
}

func setTime([]string) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return err
	}
	return unix.ClockSettime(unix.CLOCK_REALTIME, &now)
}

// raiseLimit asks for more real-time priority than the hard limit has; that of open files may be at the
// kernel's own limit.
func raiseLimit([]string) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_RTPRIO, &l); err != nil {
		return err
	}
	l.Max++
	return unix.Setrlimit(unix.RLIMIT_RTPRIO, &l)
}

func realtime([]string) error {
	attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	return unix.SchedSetAttr(0, attr, 0)
}

// outsider is a process that does not belong to the image: the one named, or the parent's parent.
func outsider(args []string) int {
	if len(args) > 0 {
		pid, _ := strconv.Atoi(args[0])
		return pid
	}
	return 1
}

func readMemory(args []string) error {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", outsider(args)))
	if err != nil {
		return err
	}
	if len(maps) == 0 {
		return errors.New("no memory map")
	}
	return nil
}

// stealFile takes over descriptor 0 of a process outside.
func stealFile(args []string) error {
	p, err := unix.PidfdOpen(outsider(args), 0)
	if err != nil {
		return err
	}
	_, err = unix.PidfdGetfd(p, 0, 0)
	return err
}

// sysvShared attaches the shared memory segment of the host that has this key.
func sysvShared(args []string) error {
	key, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	_, err = unix.SysvShmGet(key, 4096, 0)
	return err
}

func acct(file string) error {
	p, err := unix.BytePtrFromString(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	if err := call(unix.SYS_ACCT, uintptr(unsafe.Pointer(p)), 0, 0); err != nil {
		return err
	}
	return call(unix.SYS_ACCT, 0, 0, 0) // off again
}

func insmod(args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	err = unix.FinitModule(int(f.Fd()), "", 0)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// loopStatus asks a loop device what it is, which is where changing it begins.
func loopStatus(args []string) error {
	fd, err := unix.Open(args[0], unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	_, err = unix.IoctlLoopGetStatus64(fd)
	return err
}

func swapOn(args []string) error {
	if err := os.WriteFile(args[0], make([]byte, 1<<20), 0o600); err != nil {
		return err
	}
	p, err := unix.BytePtrFromString(args[0])
	if err != nil {
		return err
	}
	// EINVAL: it got as far as looking for a signature.
	if err := call(unix.SYS_SWAPON, uintptr(unsafe.Pointer(p)), 0, 0); !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// coreDump crashes a child and tells whether the kernel says that it dumped core.
func coreDump([]string) error {
	cmd := exec.Command("/bin/sh", "-c", "ulimit -c unlimited 2>/dev/null; kill -SEGV $$")
	err := cmd.Run()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.CoreDump() {
		return nil
	}
	return fmt.Errorf("no core dump: %w", err)
}

// syncs calls fsync on a pipe, which the kernel refuses: success means that a filter answered.
func syncs([]string) error {
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil {
		return err
	}
	return unix.Fsync(p[0])
}
