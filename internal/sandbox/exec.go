package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

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
	NoNetwork bool     `json:",omitempty"`
	Setuid    []string // mounts whose setuid programs count
	Files     int      // that the program inherits; those of the helper follow
}

// report is what process 1 of the program's namespaces tells of it.
type report struct {
	Signal int      // that the program died of
	Killed []string // programs that something outside has killed
	Left   []string // processes it left behind, which ended with the namespaces
}

// Run runs c inside the image mounted at root, and returns the names of processes that it left behind, which
// have ended. It has that root and no other, PID and IPC namespaces of its own, without
// the capabilities that reach the host, and with sync calls that cost nothing (a run syncs its result
// once, at the end). c.Dir is a path in the image; empty means "/".
func Run(ctx context.Context, root string, c *hostcmd.Cmd, options ...Option) (left []string, err error) {
	own, err := ownMount()
	if err != nil {
		return nil, err
	}
	defer own.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	setuid, err := ownMounts(root)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	options = append(slices.Clip(options), func(o *order) { o.Setuid = setuid })
	err = command(root, c, own, w, options).Run(ctx)
	if err := w.Close(); err != nil {
		return nil, err
	}
	var said report
	if data, _ := io.ReadAll(r); json.Unmarshal(data, &said) != nil {
		return nil, endedEarly(ctx, c, err)
	}
	return said.Left, errKilled(c, said.Killed, said.explain(err))
}

// endedEarly explains why process 1 has said nothing of the program. It was not the program that failed.
func endedEarly(ctx context.Context, c *hostcmd.Cmd, err error) error {
	e, ok := errors.AsType[*hostcmd.Error](err)
	switch {
	case ctx.Err() != nil || err != nil && !ok:
		return err
	case err == nil:
		return fmt.Errorf("%s: the process that watches over it ended early, without saying how it went", c)
	}
	e.Exit, e.Err = -1, fmt.Errorf("the process that watches over it was ended before it (%w), by the program, by somebody on the host, or for want of memory", e.Err)
	return e
}

// explain names the signal in the error of a program that died of one.
func (r report) explain(err error) error {
	if e, ok := errors.AsType[*hostcmd.Error](err); ok && r.Signal != 0 {
		e.Exit, e.Err = -1, errors.New("signal: "+unix.Signal(r.Signal).String())
	}
	return err
}

func command(root string, c *hostcmd.Cmd, own, report *os.File, options []Option) *hostcmd.Cmd {
	o := order{Root: root, Dir: c.Dir, Argv: append([]string{c.Path}, c.Args...), Files: len(c.ExtraFiles)}
	if o.Dir == "" {
		o.Dir = "/"
	}
	for _, set := range options {
		set(&o)
	}
	text, _ := json.Marshal(o) // plain strings cannot fail
	inside := *c
	inside.Label, inside.Unconfined = c.String(), "it fences itself in before it becomes a program of the image"
	if inside.Stdin == nil { // of /dev/null it would get ours, whose mode and owner it could change
		inside.Stdin = strings.NewReader("")
	}
	if inside.Env == nil {
		inside.Env = hostcmd.DefaultEnv
	}
	inside.Namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC
	if o.NoNetwork {
		inside.Namespaces |= unix.CLONE_NEWNET
	}
	inside.Path, inside.Args, inside.Dir = startPath(own), []string{execArg, string(text)}, ""
	inside.ExtraFiles = append(c.ExtraFiles[:o.Files:o.Files], report, own)
	return &inside
}

// enterRoot makes the image the root of this mount namespace, which then holds nothing else. A chroot would not
// do: a program with CAP_SYS_CHROOT, which package managers need, climbs out of one, and outside lie
// the host's files.
func (o *order) enterRoot(a *accounting) error {
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
	if err := o.allowSetuid(); err != nil {
		return err
	}
	if err := a.account(o.Root); err != nil {
		return fmt.Errorf("account for processes: %w", err)
	}
	if err := mountProc(o.Root, limit); err != nil {
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

// Limits of what runs in an image at once.
const (
	maxProcesses = 8192 // with their threads
	oomScore     = 900  // where memory runs out, programs of the image go first, and not the host's
)

// limit bounds what this PID namespace may take.
func limit(proc string) error {
	if err := os.WriteFile(proc+"/self/oom_score_adj", fmt.Append(nil, oomScore), 0); err != nil {
		return fmt.Errorf("have programs of the image end first where memory runs out: %w", err)
	}
	if !pidLimitIsOurs() {
		return nil // process 1 counts
	}
	if err := os.WriteFile(proc+"/sys/kernel/pid_max", fmt.Append(nil, maxProcesses), 0); err != nil {
		return fmt.Errorf("limit the number of processes: %w", err)
	}
	return nil
}

// pidLimitIsOurs tells whether kernel.pid_max belongs to a PID namespace (Linux 6.14), not to the host.
func pidLimitIsOurs() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	_, err := fmt.Sscanf(strings.SplitN(unix.ByteSliceToString(u.Release[:]), "-", 2)[0], "%d.%d", &major, &minor)
	return err == nil && (major > 6 || major == 6 && minor >= 14)
}
