package fault

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/ui"
)

// Scenario is one kind of run. A feature joins the tests of this package by one line in Scenarios.
type Scenario struct {
	Name     string
	Base     string   // base image, see test/base; or the path of one
	Config   string   // file, from the repository's root; or the text of a config
	Outputs  []string // formats to write; raw if none is named
	Args     []string // further flags
	Packages string   // what kind of packages the config installs, "deb" or "rpm"; may be empty
}

// Lane is a folder in which runs of a scenario happen, one after the other.
type Lane struct {
	*Watch
	Scenario
	Binary string
	Image  string // base image
	Config string // config file
	Extra  []string
	Suffix string   // of the outputs' names
	Wrap   []string // program and arguments before the program; it must exec what follows
}

// Run is one run that has been started.
type Run struct {
	lane   *Lane
	cmd    *exec.Cmd
	start  time.Time
	events chan ui.Event // steps that start; closed at the end
	done   chan struct{} // the process has ended and its output is read

	mu   sync.Mutex
	text bytes.Buffer // everything printed
	last string       // text of the failure event
}

// args is the command line of a run.
func (l *Lane) args() []string {
	args := []string{
		"--build-dir", filepath.Join(l.Dir, "build"), "--image-file", l.Image, "--config-file", l.Config,
		"--package-cache-dir", filepath.Join(l.Dir, "cache"), "--progress", "json",
	}
	for format, path := range l.Outputs() {
		args = append(args, "--output", format+"="+path)
	}
	return append(append(args, l.Args...), l.Extra...)
}

// Outputs are the files a run writes, by format.
func (l *Lane) Outputs() map[string]string {
	formats := l.Scenario.Outputs
	if len(formats) == 0 {
		formats = []string{"raw"}
	}
	outputs := map[string]string{}
	for _, f := range formats {
		outputs[f] = filepath.Join(l.Dir, "out", "image"+l.Suffix+"."+f)
	}
	return outputs
}

// Start starts a run in the lane's cgroup.
func (l *Lane) Start() (*Run, error) {
	fd, err := l.openCgroup()
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	words := append(append(append([]string{}, l.Wrap...), l.Binary), l.args()...)
	r := &Run{lane: l, cmd: exec.Command(words[0], words[1:]...), events: make(chan ui.Event, 1000), done: make(chan struct{})}
	r.cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(l.Dir, "tmp"), "HOME="+filepath.Join(l.Dir, "home"))
	r.cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd, Setpgid: true}
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	r.start = time.Now()
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go r.read(stderr)
	return r, nil
}

// read follows what the run prints.
func (r *Run) read(from io.Reader) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r.mu.Lock()
		var e ui.Event
		err := json.Unmarshal(lines.Bytes(), &e)
		if err != nil || e.Kind != ui.Progress {
			r.text.Write(append(lines.Bytes(), '\n'))
		}
		if e.Kind == ui.Fail && e.Text != "" {
			r.last = e.Text + "\n" + e.Hint
		}
		r.mu.Unlock()
		if err == nil && e.Kind == ui.Start {
			select {
			case r.events <- e:
			default: // nobody follows
			}
		}
	}
	_ = r.cmd.Wait()
	close(r.events)
	close(r.done)
}

// Wait waits for the run's end and returns its exit status, -1 for one that was killed.
func (r *Run) Wait(limit time.Duration) (int, error) {
	select {
	case <-r.done:
		return r.cmd.ProcessState.ExitCode(), nil
	case <-time.After(limit):
		return 0, fmt.Errorf("the run has not ended after %v; it is at\n%s", limit, r.Text())
	}
}

// Text is what the run has printed so far, without progress.
func (r *Run) Text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// Failure is the error and the hint that the run ended with.
func (r *Run) Failure() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Reach waits until the nth step has started; false means that the run has ended before.
func (r *Run) Reach(nth int) bool {
	for range nth + 1 {
		if _, ok := <-r.events; !ok {
			return false
		}
	}
	return true
}

// ReachStep waits until a step of that name has started.
func (r *Run) ReachStep(name string) bool {
	for e := range r.events {
		if e.Step == name {
			return true
		}
	}
	return false
}

// Target is which processes of a run a signal hits.
type Target string

// The targets.
const (
	Supervisor Target = "supervisor" // the process that the user started
	Init       Target = "init"       // first process of the worker's namespaces
	Worker     Target = "worker"
	Both       Target = "both"     // supervisor and worker
	All        Target = "all"      // every process of the run, as a service manager does it
	Programs   Target = "programs" // what the worker has started, but not the worker
)

// Signal sends a signal to processes of the run and tells how many got it.
func (r *Run) Signal(t Target, sig syscall.Signal) (n int) {
	if t == All && sig == syscall.SIGKILL {
		return r.lane.KillAll()
	}
	for _, pid := range r.lane.Processes() {
		if t == All || t.includes(r.role(pid)) {
			if syscall.Kill(pid, sig) == nil {
				n++
			}
		}
	}
	return n
}

func (t Target) includes(role Target) bool {
	return t == role || t == Both && (role == Supervisor || role == Worker)
}

func (r *Run) role(pid int) Target {
	if pid == r.cmd.Process.Pid {
		return Supervisor
	}
	words := commandLine(pid)
	if len(words) > 1 {
		switch words[1] {
		case "__init":
			return Init
		case "__worker":
			return Worker
		}
	}
	return Programs
}

// Step is a step of an undisturbed run.
type Step struct {
	Name string
	At   time.Duration // when it started
	Took time.Duration
}

// Timeline is an undisturbed run: its steps and how long it took.
type Timeline struct {
	Steps []Step
	Total time.Duration
}

// Measure does an undisturbed run.
func (l *Lane) Measure(limit time.Duration) (t Timeline, err error) {
	r, err := l.Start()
	if err != nil {
		return t, err
	}
	for e := range r.events {
		at := time.Since(r.start)
		if n := len(t.Steps); n > 0 {
			t.Steps[n-1].Took = at - t.Steps[n-1].At
		}
		t.Steps = append(t.Steps, Step{Name: e.Step, At: at})
	}
	status, err := r.Wait(limit)
	t.Total = time.Since(r.start)
	if n := len(t.Steps); n > 0 {
		t.Steps[n-1].Took = t.Total - t.Steps[n-1].At
	}
	if err == nil && status != 0 {
		err = fmt.Errorf("an undisturbed run failed with exit status %d:\n%s", status, r.Text())
	}
	return t, err
}

// Complete checks outputs that are there: an output is complete or absent. It returns how many are
// there.
func (l *Lane) Complete() (n int, err error) {
	var errs []error
	for format, path := range l.Outputs() {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		n++
		errs = append(errs, whole(format, path))
	}
	return n, errors.Join(errs...)
}

// wholeMedium checks an ISO image.
func wholeMedium(path string) error {
	return liveos.Check(context.Background(), path)
}

// wholeArchive checks an archive to boot from over the network, and the ISO image in it, if any.
func wholeArchive(path string) error {
	dir, err := os.MkdirTemp("", "archive-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if text, err := exec.Command("tar", "-C", dir, "-xzf", path).CombinedOutput(); err != nil {
		return fmt.Errorf("%s is damaged: %w: %s", path, err, text)
	}
	medium := filepath.Join(dir, "image.iso")
	if _, err := os.Stat(medium); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return wholeMedium(medium)
}

// whole checks the structures of an output.
func whole(format, path string) error {
	switch format {
	case "iso":
		return wholeMedium(path)
	case "pxe-tar":
		return wholeArchive(path)
	}
	qcow2 := []string{"qemu-img", "check", "-q", "-f", "qcow2", path}
	check := map[string][]string{
		"raw": {"sfdisk", "--verify", path}, "qcow2": qcow2, "qcow2-zstd": qcow2, "vhdx": {"qemu-img", "check", "-q", "-f", "vhdx", path},
		"vdi": {"qemu-img", "check", "-q", "-f", "vdi", path},
		"cosi": {"sh", "-ec", `tar -xOf "$1" metadata.json | jq -r '.disk.gptRegions[].image | "\(.path) \(.sha384)"' |
			while read -r name sum; do tar -xOf "$1" "$name" | sha384sum | grep -q "^$sum "; done`, "sh", path},
	}[format]
	if check == nil {
		return fmt.Errorf("this test cannot check the format %s", format)
	}
	if text, err := exec.Command(check[0], check[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s is damaged: %w: %s", path, err, text)
	}
	return nil
}

// Clear removes the outputs of earlier runs.
func (l *Lane) Clear() error {
	found, err := filepath.Glob(filepath.Join(l.Dir, "out", "*"))
	for _, f := range found {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}
