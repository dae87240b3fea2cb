//go:build root

package fault

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writer is a run that takes a second and puts 64 MiB into the image.
const writer = `
os: {hostname: writer}
scripts:
  postCustomization:
  - {name: fill, content: 'head -c 64M /dev/urandom > /var/tmp/data', environmentVariables: {PATH: '/usr/bin:/bin'}}
`

// small mounts a tmpfs of that many MiB in the lane's folder.
func small(t *testing.T, l *Lane, name string, mib int) {
	t.Helper()
	dir := filepath.Join(l.Dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("small", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil { // other runs may see it, too
			t.Error(err)
		}
	})
	l.Accept()
}

// wantFailure does a run and checks how it fails, and that nothing is left.
func wantFailure(t *testing.T, l *Lane, r *Run, status int, words ...string) {
	t.Helper()
	got, err := r.Wait(runLimit)
	if err != nil {
		t.Fatal(err)
	}
	if got != status {
		t.Errorf("exit %d, want %d:\n%s", got, status, r.Text())
	}
	for _, w := range words {
		if !strings.Contains(r.Failure(), w) {
			t.Errorf("%q is not in:\n%s\n%s", w, r.Failure(), r.Text())
		}
	}
	if _, left := l.Settle(settleLimit); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if n, _ := l.Complete(); n > 0 {
		t.Errorf("a failed run left %d outputs", n)
	}
}

func start(t *testing.T, l *Lane) *Run {
	t.Helper()
	r, err := l.Start()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTooLittleSpaceIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		where   string
		mib     int
		outputs []string
		words   []string
	}{
		{"build", 100, []string{"vhd"}, []string{"100 MiB free", "the working disk", "--build-dir"}},
		{"out", 100, []string{"raw"}, []string{"100 MiB free", "the working disk", "outputs' paths"}},
		{"out", 1000, []string{"raw", "qcow2"}, []string{"1000 MiB free", "the working disk", "the qcow2 output"}},
	} {
		l := NewLane(t, Scenario{Base: "debian12-efi", Config: writer, Outputs: c.outputs})
		small(t, l, c.where, c.mib)
		wantFailure(t, l, start(t, l), 4, append(c.words, "not enough disk space", filepath.Join(l.Dir, c.where)+" (tmpfs)", "needs at least")...)
	}
}

// TestTooLittleSpaceForPartitions counts the files of split partitions.
func TestTooLittleSpaceForPartitions(t *testing.T) {
	t.Parallel()
	for split, mib := range map[string]int{"raw": 400, "raw-zstd": 100} {
		l := NewLane(t, Scenario{Base: "debian12-efi", Config: writer, Outputs: []string{"raw"}})
		l.Extra = []string{"--output-image-file", filepath.Join(l.Dir, "parts", "x.raw"), "--output-split-partitions-format", split}
		small(t, l, "parts", mib)
		wantFailure(t, l, start(t, l), 4, "not enough disk space", fmt.Sprintf("%d MiB free", mib), "the partitions' files", "outputs' paths")
	}
}

// TestTooLittleSpaceToConvert refuses before anything is written, both what needs a working disk and what
// does not.
func TestTooLittleSpaceToConvert(t *testing.T) {
	t.Parallel()
	l := NewLane(t, Scenario{Base: "debian12-efi", Config: writer})
	for _, c := range []struct {
		mib  int
		what string
		args func(dir string) []string
	}{
		{100, "the vhdx output", func(dir string) []string { return []string{"vhdx=" + dir + "/new/x.vhdx"} }},
		{20, "the working disk", func(dir string) []string { return []string{"cosi=" + l.Dir + "/x.cosi", "--build-dir", dir + "/build"} }},
	} {
		dir := filepath.Join(l.Dir, strconv.Itoa(c.mib))
		small(t, l, filepath.Base(dir), c.mib)
		convert := exec.Command(l.Binary, append([]string{"convert", "--image-file", l.Image, "--output"}, c.args(dir)...)...)
		text, _ := convert.CombinedOutput()
		free := fmt.Sprintf("%d MiB free", c.mib)
		if exit := convert.ProcessState.ExitCode(); exit != 4 || !strings.Contains(string(text), c.what) || !strings.Contains(string(text), free) {
			t.Errorf("exit %d:\n%s", exit, text)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	}
}

// TestFilesystemRunsFull fills the build folder's or the outputs' filesystem while a run is at a
// step.
func TestFilesystemRunsFull(t *testing.T) {
	t.Parallel()
	written := func(format string) Scenario {
		return Scenario{Base: "debian12-efi", Config: writer, Outputs: []string{format}}
	}
	type point struct {
		where, step string
		run         Scenario
	}
	cases := []point{
		{"build", "input", written("qcow2-zstd")},
		{"build", "scripts.postCustomization", written("qcow2-zstd")},
		{"out", "close", written("qcow2")},
		{"out", "scripts.postCustomization", written("raw")},
	}
	if full {
		elsewhere := storage[0] // than where the output will be
		elsewhere.Outputs = []string{"qcow2-zstd"}
		cases = append(cases, []point{
			{"build", "storage.disk", elsewhere},
			{"out", "storage.disk", storage[0]},
			{"out", "storage.disk", storage[1]},
			{"out", "close", storage[2]},
			{"out", "shrink", storage[3]},
			{"build", "live.prepare", liveMedium},
			{"out", "live.prepare", liveMedium},
		}...)
	}
	for _, c := range cases {
		t.Log(c.where, c.step, c.run.Name)
		l := NewLane(t, c.run)
		small(t, l, c.where, 3000)
		r := start(t, l)
		if !r.ReachStep(c.step) {
			t.Fatalf("no step %s:\n%s", c.step, r.Text())
		}
		r.Signal(All, syscall.SIGSTOP)
		filler := filepath.Join(l.Dir, c.where, "filler")
		fill(t, filler)
		r.Signal(All, syscall.SIGCONT)
		l.Accept()
		words := []string{"the filesystem " + filepath.Join(l.Dir, c.where) + " (tmpfs) is full", "estimated", "free some space there"}
		if c.run.Name == "verity" { // whose first filesystem gives room again when it is trimmed
			words = []string{"full", "the filesystem " + filepath.Join(l.Dir, c.where) + " (tmpfs)", "free some space there"}
		}
		wantFailure(t, l, r, 1, words...)
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		succeed(t, l)
	}
}

// fill makes a file that takes all that is free.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	end := int64(0)
	for size := int64(1 << 30); size >= 4096; {
		if err = syscall.Fallocate(int(f.Fd()), 0, end, size); err != nil {
			size /= 2
			continue
		}
		end += size
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// TestImageFullOfZeros has a base image that occupies more than is free, but holds little.
func TestImageFullOfZeros(t *testing.T) {
	t.Parallel()
	l := NewLane(t, Scenario{Base: "debian12-efi", Config: "os: {hostname: zeros}\n", Outputs: []string{"raw"}})
	fat := filepath.Join(l.Dir, "home", "fat.raw")
	if text, err := exec.Command("cp", "--sparse=never", l.Image, fat).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	l.Image = fat
	small(t, l, "out", 1200)
	succeed(t, l)
}

// TestStaleFilesGo has files of runs that were killed where files cannot be without a name.
func TestStaleFilesGo(t *testing.T) {
	t.Parallel()
	l := NewLane(t, Scenario{Base: "debian12-efi", Config: "os: {hostname: stale}\n"})
	for _, d := range []string{"build", "out"} {
		stale := filepath.Join(l.Dir, d, ".imagecustomizer-1073741824-ABCD.tmp")
		if err := os.MkdirAll(filepath.Dir(stale), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(stale, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, l)
	if status, err := r.Wait(runLimit); err != nil || status != 0 {
		t.Fatalf("exit %d, %v:\n%s", status, err, r.Text())
	}
	if _, left := l.Settle(time.Second); len(left) > 0 {
		t.Errorf("still there: %q", left)
	}
}
