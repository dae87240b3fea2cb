package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"

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
}

// order is what the exec helper is told, as JSON in its second argument. The environment travels as
// the environment, so that no secret of it shows in a process list.
type order struct {
	Root string
	Dir  string
	Argv []string
}

// Command returns c as it runs inside the image mounted at root: with that root, without the
// capabilities that reach the host, and with sync calls that cost nothing (a run syncs its result
// once, at the end). c.Dir is a path in the image; empty means "/".
func Command(root string, c *hostcmd.Cmd) *hostcmd.Cmd {
	o := order{Root: root, Dir: c.Dir, Argv: append([]string{c.Path}, c.Args...)}
	if o.Dir == "" {
		o.Dir = "/"
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
	runtime.LockOSThread() // capabilities and filters belong to a thread
	if err := unix.Chroot(o.Root); err != nil {
		return execFailed(fmt.Errorf("chroot: %w", err))
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

// confine installs the system call filter, then drops capabilities, in this order: the filter needs
// SYS_ADMIN, since no_new_privs would break setuid programs.
func confine() error {
	if err := installFilter(); err != nil {
		return fmt.Errorf("install the system call filter: %w", err)
	}
	for _, c := range droppedCapabilities {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}
