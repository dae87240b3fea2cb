package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// execMain is process 1 of the namespaces that a program of an image runs in. It makes the image its root, starts
// the program, reaps what is orphaned, and ends with the program's status; the kernel ends all
// others then. It has no capabilities while the image's programs run, and they can neither trace it nor
// read its memory.
func execMain() int {
	var o order
	if err := json.Unmarshal([]byte(os.Args[2]), &o); err != nil {
		return execFailed(err)
	}
	const first = 3
	to, own := os.NewFile(uintptr(first+o.Files), "report"), os.NewFile(uintptr(first+o.Files+1), "own mount")
	unix.CloseOnExec(int(to.Fd()))
	unix.CloseOnExec(int(own.Fd()))
	signal.Notify(make(chan os.Signal, 1)) // process 1 gets from its programs what it has a handler for
	runtime.LockOSThread()                 // capabilities and Landlock belong to a thread
	var a accounting
	pid, err := o.start(own, &a)
	if err != nil {
		return execFailed(err)
	}
	shedCapabilities()
	ended, many := make(chan unix.WaitStatus, 1), make(chan error, 1)
	go func() { ended <- reap(pid) }()
	go countProcesses(many)
	select {
	case err := <-many:
		return execFailed(err)
	case ws := <-ended:
		return tellOf(to, ws, &a)
	}
}

// tellOf reports how the program ended, and returns the exit status that says so too.
func tellOf(to *os.File, ws unix.WaitStatus, a *accounting) int {
	said := report{Killed: a.killed(), Left: leftovers()}
	status := ws.ExitStatus()
	if ws.Signaled() {
		const signaled = 128 // as shells say it
		said.Signal, status = int(ws.Signal()), signaled+int(ws.Signal())
	}
	if err := json.NewEncoder(to).Encode(said); err != nil {
		return execFailed(err)
	}
	return status
}

func execFailed(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 127
}

// start starts the program, confined and accounted for.
func (o *order) start(own *os.File, a *accounting) (pid int, err error) {
	if err := o.enterRoot(a); err != nil {
		return 0, fmt.Errorf("enter the image: %w", err)
	}
	if err := unix.Chdir(o.Dir); err != nil {
		return 0, fmt.Errorf("no working folder %s: %w", o.Dir, err)
	}
	program, err := exec.LookPath(o.Argv[0])
	if err != nil {
		return 0, fmt.Errorf("the image has no program %q", o.Argv[0])
	}
	unix.Umask(0o022)
	if err := errors.Join(neverAgain(own), unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)); err != nil {
		return 0, err
	}
	listener, err := confine()
	if err != nil {
		return 0, err
	}
	if listener >= 0 {
		a.kills = watchKills(listener)
	}
	if err := keepCapabilities(); err != nil {
		return 0, err
	}
	attr := &syscall.ProcAttr{Env: os.Environ()}
	for fd := range 3 + o.Files {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	if pid, err = syscall.ForkExec(program, o.Argv, attr); err != nil {
		return 0, fmt.Errorf("%s: %w", program, err)
	}
	return pid, nil
}

// reap waits for the program, and for all that is orphaned until then.
func reap(program int) unix.WaitStatus {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		if pid == program || err != nil && !errors.Is(err, unix.EINTR) {
			return ws
		}
	}
}

// leftovers names the processes that still run. One whose first thread has ended looks dead but for its others.
func leftovers() (names []string) {
	const most = 50
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, e := range entries {
		if filepath.Base(e) == "1" || len(names) == most {
			continue
		}
		stat, _ := os.ReadFile(e + "/stat")
		threads, _ := os.ReadDir(e + "/task")
		after := strings.LastIndex(string(stat), ") ")
		if after < 0 || strings.HasPrefix(string(stat)[after:], ") Z") && len(threads) < 2 {
			continue
		}
		comm, _ := os.ReadFile(e + "/comm")
		if name := strings.TrimSpace(string(comm)); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// countProcesses tells when too many processes run, where the kernel does not bound their number.
func countProcesses(many chan<- error) {
	if pidLimitIsOurs() {
		return
	}
	for {
		time.Sleep(time.Second)
		entries, _ := os.ReadDir("/proc")
		n := 0
		for _, e := range entries {
			if _, err := strconv.Atoi(e.Name()); err == nil {
				n++
			}
		}
		if n > maxProcesses {
			many <- fmt.Errorf("more than %d processes run at once", maxProcesses)
			return
		}
	}
}
