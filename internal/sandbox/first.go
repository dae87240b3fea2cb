package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// execMain is process 1 of the namespaces that a program of an image runs in. It makes the image its root, starts
// the program, reaps what is orphaned, and ends with the program's status; the kernel ends all
// others then. It has no capabilities while the image's programs run, and they can neither trace it nor
// read its memory, nor signal it. Whatever it ends with, it says so in its report: without one it was ended itself.
func execMain() int {
	var o order
	if err := json.Unmarshal([]byte(os.Args[2]), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return notStarted
	}
	const first = 3
	to, own := os.NewFile(uintptr(first+o.Files), "report"), os.NewFile(uintptr(first+o.Files+1), "own mount")
	unix.CloseOnExec(int(to.Fd()))
	unix.CloseOnExec(int(own.Fd()))
	runtime.LockOSThread() // capabilities and Landlock belong to a thread
	var a accounting
	pid, err := o.start(own, &a)
	if err != nil {
		return execFailed(to, err)
	}
	ended, many := make(chan unix.WaitStatus, 1), make(chan error, 1)
	go func() { ended <- reap(pid) }()
	go countProcesses(many)
	select {
	case err := <-many:
		return execFailed(to, err)
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
		fmt.Fprintln(os.Stderr, err)
		return notStarted
	}
	return status
}

// notStarted is the exit status for a program that could not be started, as shells say it.
const notStarted = 127

func execFailed(to *os.File, err error) int {
	fmt.Fprintln(os.Stderr, err)
	_ = json.NewEncoder(to).Encode(report{}) // it is missed otherwise, which is an error too
	return notStarted
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
	// Programs of root get what is in the bounding set even if who starts them has it no more, unless that is forbidden.
	late, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return 0, err
	}
	if late == 0 {
		harden()
	}
	attr := &syscall.ProcAttr{Env: os.Environ()}
	for fd := range 3 + o.Files {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	if pid, err = syscall.ForkExec(program, o.Argv, attr); err != nil {
		return 0, fmt.Errorf("%s: %w", program, err)
	}
	if late != 0 {
		harden()
	}
	return pid, nil
}

// harden makes this process one that nothing can be got from, and that ends with its namespaces only.
func harden() {
	shedCapabilities()
	heedNoSignals() // afterwards: the above goes from thread to thread by one
}

// heedNoSignals has every signal do to this process what it does by default, which is nothing: process 1 of a namespace
// gets from inside it only those that it has a handler for, and the Go runtime has one for all. It believes a forged
// SIGSEGV to be a fault of its own, and crashes. A real fault still ends the process, by the kernel.
func heedNoSignals() {
	var byDefault [32]byte // struct sigaction of the kernel: SIG_DFL, no flags, no mask
	const size, last = 8, 64
	for n := uintptr(1); n <= last; n++ {
		if n != uintptr(unix.SIGKILL) && n != uintptr(unix.SIGSTOP) {
			_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, n, uintptr(unsafe.Pointer(&byDefault)), 0, size, 0, 0)
		}
	}
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
