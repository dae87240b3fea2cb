// Package hostcmd starts programs. It is the only package that does: every other one describes a
// command as data and runs it here, so that process groups, cancellation, logging and the text of a
// failure are the same everywhere.
package hostcmd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// DefaultPath is where programs are looked for.
const DefaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// DefaultEnv is the environment of a command that names none. Nothing of the user's is inherited.
var DefaultEnv = []string{
	DefaultPath,
	"HOME=/root", "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC",
}

// HostEnv is added to DefaultEnv for commands that run on the host and name no environment.
var HostEnv []string

// graceful is how long a cancelled command has between SIGTERM and SIGKILL.
const graceful = 5 * time.Second

// Cmd is one command, as data.
type Cmd struct {
	Path string   // program, looked up in the PATH of Env when it has no slash
	Args []string // arguments without the program's name
	Env  []string // complete environment; nil means DefaultEnv and HostEnv
	Dir  string   // working directory; empty means the caller's

	Stdin  io.Reader // nil means /dev/null
	Stdout io.Writer // gets standard output as well as the log; may be nil
	Stderr io.Writer // gets standard error as well as the log; may be nil

	Namespaces uintptr    // new ones that it gets, as CLONE_NEW flags
	ExtraFiles []*os.File // become descriptors 3, 4, ... of the program
	OnLine     func(line string)
	Label      string // how errors and logs name the command; empty means its words
	Quiet      bool   // output is data, too long for the log

	Read  []string // files, and folders with all in them, that the program may read: see Reading
	Write []string // ... and write

	// Unconfined says why the program is started without a fence. The architecture test lists who may.
	Unconfined string

	credential *syscall.Credential // the user whom it runs as; nil for ours
}

// New returns the command that runs the program with these arguments. It runs in a fence: see confined.go.
func New(program string, args ...string) *Cmd { return &Cmd{Path: program, Args: args} }

// Unconfined returns the command that runs a program without a fence, and why.
func Unconfined(why, program string, args ...string) *Cmd {
	return &Cmd{Path: program, Args: args, Unconfined: why}
}

// String is the command as a person would type it.
func (c *Cmd) String() string {
	if c.Label != "" {
		return c.Label
	}
	words := make([]string, 0, len(c.Args)+1)
	for _, w := range append([]string{c.Path}, c.Args...) {
		words = append(words, Quote(w))
	}
	return strings.Join(words, " ")
}

// Quote makes one word of a text for a shell.
func Quote(w string) string {
	if w != "" && !strings.ContainsAny(w, " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

// Error is a command that could not be started or did not succeed.
type Error struct {
	Command string   // as a person would type it
	Exit    int      // exit status, -1 when it was not started or died of a signal
	Tail    []string // last lines it printed, both streams
	Err     error    // cause as the operating system named it

	OutOfMemory string // what is known of the kernel having ended programs for want of memory meanwhile
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v%s", e.Command, e.Err, e.OutOfMemory)
	for _, l := range e.Tail {
		b.WriteString("\n    " + l)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// ExitStatus returns the exit status of a failed command, 0 for nil and -1 for any other error.
func ExitStatus(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Exit
	}
	return -1
}

// Run runs the command to its end. A cancelled context sends SIGTERM, then SIGKILL, to its whole
// process group. The error is an *Error, or the context's.
func (c *Cmd) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cmd, out, err := c.prepare(ctx)
	if err != nil {
		return err
	}
	kills := oomKills()
	slog.Debug("run", "command", c.String())
	start := time.Now()
	if c.Unconfined == "" {
		err = c.runConfined(cmd, stop)
	} else {
		runtime.LockOSThread() // Pdeathsig means the death of the thread that started the program
		err = cmd.Run()
		runtime.UnlockOSThread()
	}
	out.flush()
	slog.Debug("ran", "command", cmp.Or(c.Label, cmd.Path), "seconds", time.Since(start).Seconds(), "error", err)
	return lackedMemory(c.outcome(ctx, err, cmd, out), kills, oomKills())
}

// Output runs the command and returns its standard output.
func (c *Cmd) Output(ctx context.Context) (string, error) {
	var b bounded
	d := *c
	d.Stdout = &b
	err := d.Run(ctx)
	if b.full {
		return "", &Error{Command: c.String(), Exit: -1, Err: fmt.Errorf("it printed more than %d MiB", maxOutput>>20)}
	}
	return b.text.String(), err
}

// maxOutput bounds what a program prints that is kept in memory.
const maxOutput = 64 << 20

type bounded struct {
	text bytes.Buffer
	full bool
}

// Write keeps what a program prints.
func (b *bounded) Write(p []byte) (int, error) {
	if b.full = b.full || b.text.Len()+len(p) > maxOutput; b.full {
		return 0, errors.New("that is too much")
	}
	return b.text.Write(p)
}

// Environment is the environment that the command will have.
func (c *Cmd) Environment() []string {
	if c.Env != nil {
		return c.Env
	}
	return append(slices.Clone(DefaultEnv), HostEnv...)
}

func (c *Cmd) prepare(ctx context.Context) (*exec.Cmd, *tail, error) {
	env := c.Environment()
	path, err := lookPath(c.Path, env)
	if err != nil {
		return nil, nil, &Error{Command: c.String(), Exit: -1, Err: err}
	}
	cmd := exec.CommandContext(ctx, path, c.Args...)
	cmd.Args[0] = c.Path
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.ExtraFiles = env, c.Dir, c.Stdin, slices.Clone(c.ExtraFiles)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: c.Namespaces, Credential: c.credential}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = graceful
	out := &tail{quiet: c.Quiet, onLine: c.OnLine}
	cmd.Stdout, cmd.Stderr = tee(out, c.Stdout), tee(out, c.Stderr)
	if c.Quiet && c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	return cmd, out, nil
}

func tee(a, b io.Writer) io.Writer {
	if b == nil {
		return a
	}
	return io.MultiWriter(a, b)
}

func (c *Cmd) outcome(ctx context.Context, err error, cmd *exec.Cmd, out *tail) error {
	if err == nil {
		return nil
	}
	if cmd.Process != nil && ctx.Err() != nil {
		// The group may still hold grandchildren that ignored SIGTERM.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return fmt.Errorf("%s: %w", c.String(), context.Cause(ctx))
	}
	exit := -1
	if x, ok := errors.AsType[*exec.ExitError](err); ok {
		exit = x.ExitCode()
	}
	return &Error{Command: c.String(), Exit: exit, Tail: out.lines(), Err: err}
}

// lookPath is exec.LookPath with the PATH the command itself will have.
func lookPath(program string, env []string) (string, error) {
	if strings.Contains(program, "/") {
		return program, nil
	}
	for _, kv := range env {
		dirs, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, d := range strings.Split(dirs, ":") {
			if p, err := exec.LookPath(d + "/" + program); err == nil {
				return p, nil
			}
		}
	}
	return "", fmt.Errorf("program %q is not installed on this host", program)
}

// Installed tells whether the host has the program.
func Installed(program string) bool {
	_, err := lookPath(program, DefaultEnv)
	return err == nil
}
