//go:build root

package hostile

import (
	"bufio"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"imagecustomizer/test/fault"
)

// runLimit is how long a run may take that does real work on a real system.
const runLimit = 15 * time.Minute

// touched is what a run reaches in an image.
type touched struct {
	Paths    []string // that steps of ours, or programs of the host, name: open, list, make, link or remove
	Walked   []string // that they come to by walking a tree, one of each folder below a folder of the root
	Walks    int      // how many files that were
	Started  []string // programs of the image that we start
	Programs []string // all programs of the image that run
}

// calls are those that this program names paths of an image with; openat and stat, which programs of an image call
// very often, are not among them. What programs of the host are given is read from their arguments.
const calls = "openat2,mkdirat,renameat,renameat2,symlinkat,linkat,unlinkat,mknodat,fchownat,mount,execve,execveat,clone,clone3,fork,vfork"

// trace does a run under strace.
func trace(t *testing.T, s fault.Scenario) touched {
	t.Helper()
	lane := fault.NewLane(t, s)
	log := filepath.Join(t.TempDir(), "trace")
	lane.Wrap = []string{"strace", "-f", "-y", "-qq", "--seccomp-bpf", "--decode-pids=pidns", "-s", "4096", "-o", log,
		"-e", "trace=" + calls}
	if _, err := lane.Measure(runLimit); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := reader{parent: map[string]string{}, confined: map[string]bool{}, pending: map[string]execution{}}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		r.line(lines.Text())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return r.result()
}

// reader makes sense of a trace.
type reader struct {
	parent   map[string]string // processes and threads, by PID
	confined map[string]bool   // processes 1 of the namespaces that programs of the image run in
	started  []string
	pending  map[string]execution // calls of execve that have not returned
	paths    []string
	walked   []string
	from, to int // of paths, those named while the tree was copied to a new disk
	copies   map[string]bool
	execs    []execution
}

type execution struct{ pid, program string }

// trees are where the worker has what belongs to an image.
const trees = `/\.mic/(?:root|new|boot|unpacked|scratch|view)`

var (
	below  = regexp.MustCompile(`<(` + trees + `(?:/[^>"]*)?)>, "((?:[^"\\]|\\.)*)"`)
	whole  = regexp.MustCompile(`"(` + trees + `/(?:[^"\\]|\\.)*)"`)
	born   = regexp.MustCompile(`(?:clone3?|v?fork)\b.* = (\d+)(?: /\* (\d+) in strace's PID NS \*/)?$`)
	execed = regexp.MustCompile(`^execve\("((?:[^"\\]|\\.)*)", \[(.*)\], 0x`)
)

func (r *reader) line(text string) {
	pid, call, _ := strings.Cut(text, " ")
	call = strings.TrimLeft(call, " ")
	if m := born.FindStringSubmatch(call); m != nil {
		child := m[1]
		if m[2] != "" {
			child = m[2]
		}
		r.parent[child] = pid
		return
	}
	if m := execed.FindStringSubmatch(call); m != nil {
		r.execution(pid, m[1], m[2], call)
		return
	}
	if strings.HasPrefix(call, "<... execve resumed>") {
		if e, ok := r.pending[pid]; ok && strings.HasSuffix(call, "= 0") {
			r.execs = append(r.execs, e)
		}
		return
	}
	if r.inside(pid) {
		return // programs of the image reach what they like in it
	}
	for _, m := range below.FindAllStringSubmatch(call, -1) {
		if p := path.Join(m[1], m[2]); strings.HasPrefix(p, "/.mic/new/") {
			r.copied(p)
		} else if named(call, m[1]) {
			r.paths = append(r.paths, p)
		} else {
			r.walked = append(r.walked, p)
		}
	}
	for _, m := range whole.FindAllStringSubmatch(call, -1) {
		r.paths = append(r.paths, path.Clean(m[1]))
	}
}

// named tells whether a call names a path on purpose: from the root of the tree, or by changing a folder of the
// image. A walk has descriptors of folders, too, and reads; a copy of a tree writes, but into another one.
func named(call, folder string) bool {
	changes := regexp.MustCompile(`^(renameat2?|mkdirat|symlinkat|linkat|unlinkat)\(`).MatchString(call)
	return tree.FindString(folder) == folder || changes && strings.HasPrefix(folder, "/.mic/root/")
}

var orderText = regexp.MustCompile(`"__exec", "((?:[^"\\]|\\.)*)"`)

func (r *reader) execution(pid, program, args, call string) {
	m := orderText.FindStringSubmatch(args)
	if !r.inside(pid) {
		for _, given := range whole.FindAllStringSubmatch(args, -1) {
			r.paths = append(r.paths, path.Clean(given[1]))
		}
	}
	switch {
	case m != nil:
	case strings.HasSuffix(call, "<unfinished ...>"):
		r.pending[pid] = execution{pid, program}
		return
	case strings.HasSuffix(call, "= 0"):
		r.execs = append(r.execs, execution{pid, program})
		return
	default:
		return
	}
	r.confined[pid] = true
	var order struct{ Argv []string }
	text := strings.ReplaceAll(strings.ReplaceAll(m[1], `\"`, `"`), `\\`, `\`)
	if json.Unmarshal([]byte(text), &order) == nil && len(order.Argv) > 0 {
		r.started = append(r.started, order.Argv[0])
	}
}

// inside tells whether a process belongs to a program of the image.
func (r *reader) inside(pid string) bool {
	for p, ok := r.parent[pid]; ok; p, ok = r.parent[p] {
		if r.confined[p] {
			return true
		}
	}
	return false
}

var (
	tree    = regexp.MustCompile(`^` + trees)
	kernels = regexp.MustCompile(`^/(dev|proc|sys|run|tmp)/`) // mounted over by the worker
	random  = regexp.MustCompile(`/\.[^/]*[0-9A-Za-z]{8,}[^/]*$`)
)

func (r *reader) result() touched {
	var all touched
	r.noteCopies()
	all.Paths = within(r.paths)
	folders := map[string]bool{}
	for _, p := range within(r.walked) {
		if _, found := slices.BinarySearch(all.Paths, p); found {
			continue
		}
		all.Walks++
		folder := strings.Join(strings.SplitN(path.Dir(p), "/", 4)[:min(3, strings.Count(p, "/"))], "/")
		if !folders[folder] {
			folders[folder] = true
			all.Walked = append(all.Walked, p)
		}
	}
	for _, e := range r.execs {
		if r.inside(e.pid) && strings.HasPrefix(e.program, "/") {
			all.Programs = append(all.Programs, e.program)
		}
	}
	all.Started, all.Programs = sorted(r.started), sorted(all.Programs)
	return all
}

// copied takes note of a file that appears on a new disk.
func (r *reader) copied(p string) {
	if r.copies == nil {
		r.copies, r.from = map[string]bool{}, len(r.paths)
	}
	r.copies[tree.ReplaceAllString(p, "")], r.to = true, len(r.paths)
}

// noteCopies makes a walk of what was named while the tree was copied, and only because it was.
func (r *reader) noteCopies() {
	named := slices.Clone(r.paths[:r.from])
	for _, p := range r.paths[r.from:r.to] {
		if r.copies[tree.ReplaceAllString(p, "")] {
			r.walked = append(r.walked, p)
		} else {
			named = append(named, p)
		}
	}
	r.paths = append(named, r.paths[r.to:]...)
}

// within cuts off where the worker has the image, and leaves out what is the worker's own.
func within(paths []string) (list []string) {
	for _, p := range paths {
		inside := tree.ReplaceAllString(p, "")
		if inside != "" && !kernels.MatchString(inside) && !random.MatchString(inside) {
			list = append(list, inside)
		}
	}
	return sorted(list)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// few bounds how many siblings of one folder are attacked and listed one by one.
const few = 12

// bundled stands for a long list of siblings by a few of them and the number of all: a walk of a tree is one
// thing that a step does, not thousands.
func bundled(paths []string) (list []string, more map[string]int) {
	number := map[string]int{}
	for _, p := range paths {
		number[path.Dir(p)]++
	}
	more = map[string]int{}
	for _, p := range paths {
		dir := path.Dir(p)
		if number[dir] > few && dir != "/" && dir != "/etc" {
			if more[dir]++; more[dir] > 1 {
				continue
			}
		}
		list = append(list, p)
	}
	return list, more
}
