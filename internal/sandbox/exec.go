package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

// droppedCapabilities are withheld from everything that runs in an image, since each reaches the
// host: see docs/decisions. MKNOD stays, because dracut leaves device nodes out without it;
// the image's filesystems are mounted nodev instead.
var droppedCapabilities = []uintptr{
	unix.CAP_SYS_ADMIN, unix.CAP_SYS_MODULE, unix.CAP_SYS_TIME, unix.CAP_SYS_RAWIO, unix.CAP_SYS_BOOT,
	unix.CAP_NET_ADMIN, unix.CAP_SYSLOG, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH, unix.CAP_BPF,
	unix.CAP_PERFMON, unix.CAP_CHECKPOINT_RESTORE, unix.CAP_WAKE_ALARM, unix.CAP_BLOCK_SUSPEND,
	unix.CAP_MAC_ADMIN, unix.CAP_MAC_OVERRIDE, unix.CAP_AUDIT_CONTROL, unix.CAP_AUDIT_READ,
	unix.CAP_NET_RAW, unix.CAP_SYS_RESOURCE, unix.CAP_SYS_NICE, unix.CAP_SYS_PACCT, unix.CAP_SYS_TTY_CONFIG,
}

// Option changes how a program runs in an image.
type Option func(*order)

// NoNetwork gives the program a network of its own, which has nothing but a loopback interface.
func NoNetwork(o *order) { o.NoNetwork = true }

// order is what the exec helper is told, as JSON in its second argument. The environment travels as
// the environment, so that no secret of it shows in a process list.
type order struct {
	Root      string
	Dir       string
	Argv      []string
	NoNetwork bool `json:",omitempty"`
}

// Command returns c as it runs inside the image mounted at root: with that root and no other, without
// the capabilities that reach the host, and with sync calls that cost nothing (a run syncs its result
// once, at the end). c.Dir is a path in the image; empty means "/".
func Command(root string, c *hostcmd.Cmd, options ...Option) *hostcmd.Cmd {
	o := order{Root: root, Dir: c.Dir, Argv: append([]string{c.Path}, c.Args...)}
	if o.Dir == "" {
		o.Dir = "/"
	}
	for _, set := range options {
		set(&o)
	}
	text, _ := json.Marshal(o) // plain strings cannot fail
	inside := *c
	inside.Label = c.String()
	if inside.Env == nil {
		inside.Env = hostcmd.DefaultEnv
	}
	inside.Path, inside.Args, inside.Dir = "/proc/self/exe", []string{execArg, string(text)}, ""
	return &inside
}

// execMain is the re-exec step of Command.
func execMain() int {
	var o order
	if err := json.Unmarshal([]byte(os.Args[2]), &o); err != nil {
		return execFailed(err)
	}
	runtime.LockOSThread() // namespaces, capabilities and filters belong to a thread
	if err := o.enterRoot(); err != nil {
		return execFailed(fmt.Errorf("enter the image: %w", err))
	}
	if err := unix.Chdir(o.Dir); err != nil {
		return execFailed(fmt.Errorf("no working folder %s: %w", o.Dir, err))
	}
	program, err := exec.LookPath(o.Argv[0])
	if err != nil {
		return execFailed(fmt.Errorf("the image has no program %q", o.Argv[0]))
	}
	unix.Umask(0o022)
	if err := confine(); err != nil {
		return execFailed(err)
	}
	return execFailed(fmt.Errorf("%s: %w", program, unix.Exec(program, o.Argv, os.Environ())))
}

func execFailed(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 127
}

// enterRoot makes the image the root of a mount namespace that holds nothing else. A chroot would not
// do: a program with CAP_SYS_CHROOT, which package managers need, climbs out of one, and outside lie
// the host's files.
func (o *order) enterRoot() error {
	flags := unix.CLONE_NEWNS
	if o.NoNetwork {
		flags |= unix.CLONE_NEWNET
	}
	if err := unix.Unshare(flags); err != nil {
		return fmt.Errorf("new namespaces: %w", err)
	}
	if o.NoNetwork {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("loopback interface: %w", err)
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount(o.Root, o.Root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil { // it must be a mount
		return err
	}
	return pivot(o.Root)
}

// loopbackUp switches on the loopback interface of a new network namespace. In a container without
// NET_ADMIN it stays off, which is less than a script may expect but not more.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); !errors.Is(err, unix.EPERM) {
		return err
	}
	return nil
}

// confine sets up what a program can no longer shed. Capabilities go last: without no_new_privs,
// which would break setuid programs, the others need SYS_ADMIN.
func confine() error {
	// A crash starts the host's core dump handler, but for this one limit (core(5) of Linux: a pipe
	// ignores all others).
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
		return fmt.Errorf("limit core dumps: %w", err)
	}
	if err := scopeSockets(); err != nil {
		return fmt.Errorf("close off the host's abstract sockets: %w", err)
	}
	if err := confineCalls(); err != nil {
		return fmt.Errorf("install the system call filter: %w", err)
	}
	for _, c := range droppedCapabilities {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

// scopeSockets keeps programs from sockets of the host's daemons that have a name but no file, such as
// those of container runtimes: these go with the network, which package managers need. Kernels
// before Linux 6.12 (Landlock ABI 6) cannot do that; there only scripts with "network: none" are kept from them.
func scopeSockets() error {
	const abiWithScopes = 6
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 || version < abiWithScopes {
		return nil
	}
	attr := unix.LandlockRulesetAttr{Scoped: unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET}
	const size = 3 * 8 // of the fields that this version has
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(fd))
	if _, _, errno = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
