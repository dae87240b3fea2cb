// Package fault disturbs runs of the program and looks at what they leave behind: it kills them at a
// chosen step or time, lets a program or a write fail, fills filesystems, and starts several at once.
package fault

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Watch knows what belongs to the runs in one folder, and finds what is left of them: processes by
// their cgroup; loop devices and mounts because they name the folder; files because they were not
// there before. Other runs on the same machine do not matter.
type Watch struct {
	Dir string // everything that the runs write lies below it

	cgroup string
	mounts map[string]bool // mount points below Dir that are ours
	files  map[string]bool // what lay below Dir at first
	keep   []string        // prefixes of paths that may appear, hidden files excepted
}

// NewWatch begins to watch a folder. keep are beginnings of paths in it that may appear, such as the
// package cache. Close ends it.
func NewWatch(dir string, keep ...string) (*Watch, error) {
	w := &Watch{Dir: dir, files: map[string]bool{}}
	for _, k := range keep {
		w.keep = append(w.keep, filepath.Join(dir, k))
	}
	hierarchy, err := cgroup2()
	if err != nil {
		return nil, err
	}
	if w.cgroup, err = os.MkdirTemp(hierarchy, "imagecustomizer-test-"); err != nil {
		return nil, err
	}
	w.mounts = set(w.mountsBelow())
	w.files = set(w.tree())
	return w, nil
}

// Accept takes what is there now for granted.
func (w *Watch) Accept() {
	w.mounts, w.files = set(w.mountsBelow()), set(w.tree())
}

func set(list []string) map[string]bool {
	s := map[string]bool{}
	for _, x := range list {
		s[x] = true
	}
	return s
}

// cgroup2 is where the unified hierarchy is mounted.
func cgroup2() (string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		before, after, _ := strings.Cut(line, " - ")
		if f := strings.Fields(before); strings.HasPrefix(after, "cgroup2 ") && len(f) > 4 {
			return f[4], nil
		}
	}
	return "", fmt.Errorf("no cgroup2 is mounted here, which these tests find processes with")
}

// Close ends every process that is left and the watch itself.
func (w *Watch) Close() error {
	var err error
	for range 100 {
		w.KillAll()
		if err = os.Remove(w.cgroup); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// KillAll kills every process of the runs and returns how many there were. The cgroup's own kill
// file would be simpler, but some kernels then kill what is started in it later, too.
func (w *Watch) KillAll() int {
	pids := w.Processes()
	for _, pid := range pids {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	return len(pids)
}

// Processes lists the processes of the runs.
func (w *Watch) Processes() (pids []int) {
	text, _ := os.ReadFile(filepath.Join(w.cgroup, "cgroup.procs"))
	for _, f := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Leaks lists what is left: processes, loop devices, mounts and files. It looks once; see Settle.
func (w *Watch) Leaks() (found []string) {
	for _, pid := range w.Processes() {
		found = append(found, fmt.Sprintf("process %d: %s", pid, strings.Join(commandLine(pid), " ")))
	}
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, l := range loops {
		if text, err := os.ReadFile(l); err == nil && strings.Contains(string(text), w.Dir+"/") {
			found = append(found, fmt.Sprintf("loop device %s: %s", strings.Split(l, "/")[3], strings.TrimSpace(string(text))))
		}
	}
	for _, m := range w.mountsBelow() {
		if !w.mounts[m] {
			found = append(found, "mount: "+m)
		}
	}
	for _, f := range w.tree() {
		if !w.files[f] && !w.kept(f) {
			found = append(found, "file: "+f)
		}
	}
	return found
}

func (w *Watch) kept(path string) bool {
	if strings.HasPrefix(filepath.Base(path), ".") {
		return false
	}
	return slices.ContainsFunc(w.keep, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// Settle waits until nothing is left, for as long as limit, and tells how long that took. After a
// kill the kernel takes a moment to close what the processes had open.
func (w *Watch) Settle(limit time.Duration) (took time.Duration, left []string) {
	start := time.Now()
	for {
		left = w.Leaks()
		took = time.Since(start)
		if len(left) == 0 || took > limit {
			return took, left
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// mountsBelow lists mounts at or below the folder, and those of a worker's root, as this namespace
// and that of the machine's first process see them.
func (w *Watch) mountsBelow() (list []string) {
	for _, who := range []string{"self", "1"} {
		text, _ := os.ReadFile("/proc/" + who + "/mountinfo")
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > 4 && (strings.HasPrefix(f[4]+"/", w.Dir+"/") || strings.HasPrefix(f[4], "/.mic")) && !slices.Contains(list, f[4]) {
				list = append(list, f[4])
			}
		}
	}
	return list
}

// tree lists the files below the folder. Empty folders are nothing that could be in anybody's way.
func (w *Watch) tree() (list []string) {
	_ = filepath.WalkDir(w.Dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, name)
		}
		return nil
	})
	return list
}

func commandLine(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
}

// openCgroup opens the folder for starting a process in it.
func (w *Watch) openCgroup() (int, error) {
	return unix.Open(w.cgroup, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
}
