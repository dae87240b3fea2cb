// Package sandbox confines the privileged half of a run. The program starts itself again as the
// init of new mount, PID, IPC and UTS namespaces; that init starts the worker, which does all
// mounting and starts all programs. When either dies, or the process that started them does, the
// kernel ends every process and mount in there: nothing in user space has to run for it.
package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// First arguments by which the program knows that it was started as one of its own helpers.
const (
	initArg   = "__init"
	workerArg = "__worker"
	execArg   = "__exec"
)

// Descriptors of the worker.
const (
	fdIn    = 3 // job, then cancellation; end of file means that the supervisor is gone
	fdOut   = 4 // events
	fdOwn   = 5 // read-only mount of the program's file
	fdFirst = 6 // first of the files handed over
)

// Main runs the helper that this process was started as, and returns its exit status; ok is false
// where it was started by a person. It must be called before anything else in main.
func Main(worker func(in, out *os.File) int) (status int, ok bool) {
	helper := ""
	if len(os.Args) > 1 {
		helper = os.Args[1]
	}
	switch helper {
	case initArg:
		return initMain(), true
	case workerArg:
		return workerMain(worker), true
	case execArg:
		return execMain(), true
	}
	keepToOurselves()
	return 0, false
}

// keepToOurselves makes files that whoever started the program left open close in every program it
// starts: a script in an image could reach the whole host through one that is a folder.
func keepToOurselves() {
	const first = 3
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= first {
			unix.CloseOnExec(fd)
		}
	}
}

// Spec is what a worker gets besides its own namespaces.
type Spec struct {
	Files    []*os.File        `json:"-"` // inherited; File(i) is the i-th in the worker
	Writable map[string]string // folders of the host the worker may write, by the name Writable is asked with
	Shown    []string          // files and folders that the worker reads, wherever on the host they lie

	Hidden []string // files that it does not see, wherever they lie

	Errors io.Writer `json:"-"` // gets what the worker prints when it cannot even start; nil means standard error

	Count int // of Files, for the helpers
}

// Process is a running worker, seen from the supervisor.
type Process struct {
	In  *os.File // write the job here; closing it cancels the run
	Out *os.File // events of the worker
	cmd *exec.Cmd
}

// Start starts a worker. It needs root.
func Start(spec Spec) (*Process, error) {
	spec.Count = len(spec.Files)
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	own, err := ownMount()
	if err != nil {
		return nil, err
	}
	defer own.Close()
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, inR.Close(), inW.Close())
	}
	cmd := exec.Command(startPath(own), initArg, string(text))
	cmd.ExtraFiles = append([]*os.File{inR, outW, own}, spec.Files...)
	cmd.Stderr = os.Stderr
	if spec.Errors != nil {
		cmd.Stderr = spec.Errors
	}
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  unix.SIGKILL,
		// A session of its own: Ctrl-C reaches the supervisor alone, which then cancels in order, and
		// /dev/tty leads nowhere, so that no script can type into the user's terminal.
		Setsid: true,
	}
	err = startOnLastingThread(cmd)
	if err := errors.Join(inR.Close(), outW.Close()); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the worker in new namespaces (root is needed): %w", err), inW.Close(), outR.Close())
	}
	return &Process{In: inW, Out: outR, cmd: cmd}, nil
}

// startOnLastingThread starts the command from a thread that lives as long as the program, because
// Pdeathsig means the death of the parent *thread*.
func startOnLastingThread(cmd *exec.Cmd) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- cmd.Start()
		select {}
	}()
	return <-done
}

// Wait waits for the end of the worker and everything it started.
func (p *Process) Wait() error { return p.cmd.Wait() }

// Kill ends the worker and everything it started at once.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() }

// handedOver holds the worker's files for as long as it lives: a file that nothing refers to would be
// closed by the garbage collector, however many programs know its number.
var handedOver []*os.File

// File is the i-th of Spec.Files, in the worker.
func File(i int) *os.File { return handedOver[i] }

// SetUpFailed begins what a worker prints that cannot make its surroundings.
const SetUpFailed = "cannot set up the worker:"

// Path names an open file for programs that the worker starts: their own /proc/self is another.
func Path(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()) }

// Writable is the folder of that name in Spec.Writable, in the worker.
func Writable(name string) string { return Work + "/writable/" + name }

// initMain is PID 1 of the namespaces: it starts the worker, reaps what is orphaned, and ends with
// the worker's status. It is not the worker itself, whose os/exec must not lose exits to a reaper.
func initMain() int {
	signal.Ignore(unix.SIGINT, unix.SIGHUP, unix.SIGTERM, unix.SIGPIPE)
	attr := &os.ProcAttr{Env: os.Environ(), Files: inherited()}
	worker, err := os.StartProcess("/proc/self/exe", []string{os.Args[0], workerArg, os.Args[2]}, attr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot start the worker:", err)
		return 1
	}
	for _, f := range attr.Files[fdIn:] {
		f.Close() // only the worker's copies may keep pipes open
	}
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 1
		case pid == worker.Pid && ws.Exited():
			return ws.ExitStatus()
		case pid == worker.Pid:
			return 128 + int(ws.Signal())
		}
	}
}

// readSpec is the Spec that this helper was started with.
func readSpec() (spec Spec) {
	_ = json.Unmarshal([]byte(os.Args[2]), &spec) // our own output: plain strings and a number
	return spec
}

// inherited lists the descriptors handed down, in order. They are counted, not probed for, because
// the Go runtime has some of its own.
func inherited() []*os.File {
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	for fd := fdIn; fd < fdFirst+readSpec().Count; fd++ {
		files = append(files, os.NewFile(uintptr(fd), "inherited"))
	}
	return files
}

// takeName gives the worker's namespace a name that is not the host's: programs of an image write it into keys,
// certificates and settings. This one is looked up in every image.
func takeName() error {
	if err := unix.Sethostname([]byte("localhost")); err != nil {
		return fmt.Errorf("set the host's name in the worker: %w", err)
	}
	return unix.Setdomainname(nil)
}

func workerMain(worker func(in, out *os.File) int) int {
	spec := readSpec()
	for fd := fdIn; fd < fdFirst+spec.Count; fd++ {
		unix.CloseOnExec(fd)
		if fd >= fdFirst {
			handedOver = append(handedOver, os.NewFile(uintptr(fd), fmt.Sprintf("file %d", fd-fdFirst)))
		}
	}
	if err := errors.Join(takeName(), enterPrivateRoot(spec, fdOwn)); err != nil {
		fmt.Fprintln(os.Stderr, SetUpFailed, err)
		return 1
	}
	return worker(os.NewFile(fdIn, "job"), os.NewFile(fdOut, "events"))
}
