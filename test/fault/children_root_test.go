//go:build root

package fault

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// children are single programs of runs that are killed, as the kernel does when memory runs out: their parents may take
// no notice. Their number is that of FULL=1.
var children = []struct {
	scenario string
	begins   string // the program's name
	times    int
}{
	{"demo on Debian", "dpkg", 10},
	{"in place", "dracut-install", 12},
	{"in place", "cp", 12},
	{"in place", "mkfs", 6},
}

// TestKilledChildren ends one program of many: the run fails, or what it publishes lacks nothing. TORTURE_SEED sets
// which one.
func TestKilledChildren(t *testing.T) {
	seed, _ := strconv.ParseUint(os.Getenv("TORTURE_SEED"), 10, 64)
	r := rand.New(rand.NewPCG(seed, 40))
	for _, s := range append([]Scenario{Scenarios[0]}, storage...) {
		l := &Lane{}
		var whole, usual map[string]entry
		for _, c := range children {
			if c.scenario != s.Name || !full && s.Name != Scenarios[0].Name {
				continue
			}
			if whole == nil {
				l = NewLane(t, s)
				whole, usual = undisturbed(t, l), undisturbed(t, l)
			}
			if !full {
				c.times = 2
			}
			for n := range c.times {
				t.Run(fmt.Sprintf("%s/%d", c.begins, n), func(t *testing.T) { killChild(t, l, c.begins, r, whole, usual) })
			}
		}
	}
}

// killChild kills one of the first programs of that name that a run starts. Where it was too quick, it is tried again.
func killChild(t *testing.T, l *Lane, begins string, r *rand.Rand, whole, usual map[string]entry) {
	for range 5 {
		if err := l.Clear(); err != nil {
			t.Fatal(err)
		}
		run := start(t, l)
		nth := 1 + r.IntN(4)
		hit := run.killNth(begins, nth)
		status, err := run.Wait(runLimit)
		if err != nil {
			t.Fatal(err)
		}
		if _, left := l.Settle(settleLimit); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
		if hit == "" {
			continue
		}
		n, err := l.Complete()
		t.Logf("killed %s, the %d. of its name: exit %d, %d outputs: %s", hit, nth, status, n, strings.SplitN(run.Failure(), "\n", 2)[0])
		switch {
		case err != nil:
			t.Error(err)
		case status != 0 && (n > 0 || run.Failure() == ""):
			t.Errorf("exit %d, %d outputs, and it says %q", status, n, run.Failure())
		case status == 0 && n < len(l.Outputs()):
			t.Errorf("exit 0, and %d outputs", n)
		case status == 0:
			compare(t, l, whole, usual)
		}
		return
	}
	t.Error("none was seen in five runs")
}

// killNth kills the nth program with such a name that is seen, and returns how it was called.
func (r *Run) killNth(begins string, nth int) string {
	seen := map[int]bool{}
	for {
		for _, pid := range r.lane.Processes() {
			comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			if name := strings.TrimSpace(string(comm)); seen[pid] || name != begins && !strings.HasPrefix(name, begins+".") && !strings.HasPrefix(name, begins+"-") {
				continue
			}
			if seen[pid] = true; len(seen) < nth {
				continue
			}
			words := commandLine(pid)
			if syscall.Kill(pid, syscall.SIGKILL) == nil && len(words) > 0 {
				return strings.Join(words[:min(len(words), 4)], " ")
			}
		}
		select {
		case <-r.done:
			return ""
		case <-time.After(time.Millisecond / 2):
		}
	}
}

// entry is what is compared of a file.
type entry struct {
	mode fs.FileMode
	size int64
	sum  string
}

// undisturbed is what the raw output of an undisturbed run holds.
func undisturbed(t *testing.T, l *Lane) map[string]entry {
	t.Helper()
	succeed(t, l)
	return inventory(t, l)
}

func inventory(t *testing.T, l *Lane) map[string]entry {
	t.Helper()
	disk, all := l.Outputs()["raw"], map[string]entry{}
	text, err := exec.Command("sfdisk", "--json", disk).Output()
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		PartitionTable struct {
			Partitions []struct{ Start, Size int64 }
		}
	}
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(l.Dir, "tmp", "look")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i, p := range table.PartitionTable.Partitions {
		const sector = 512
		for _, options := range []string{"noload", "norecovery,nouuid"} {
			how := fmt.Sprintf("loop,ro,%s,offset=%d,sizelimit=%d", options, p.Start*sector, p.Size*sector)
			if exec.Command("mount", "-o", how, disk, dir).Run() == nil {
				err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
					if err != nil {
						return err
					}
					all[fmt.Sprintf("%d:%s", i+1, strings.TrimPrefix(path, dir))], err = look(path, d)
					return err
				})
				if err := syscall.Unmount(dir, 0); err != nil {
					t.Fatal(err)
				}
				if err != nil {
					t.Fatal(err)
				}
				break
			}
		}
	}
	const least = 1000
	if len(all) < least {
		t.Fatalf("only %d files were found", len(all))
	}
	return all
}

func look(path string, d fs.DirEntry) (e entry, err error) {
	fi, err := d.Info()
	if err != nil {
		return e, err
	}
	e.mode = fi.Mode()
	if !fi.Mode().IsRegular() {
		return e, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return e, err
	}
	defer f.Close()
	h := sha256.New()
	e.size, err = io.Copy(h, f)
	e.sum = string(h.Sum(nil))
	return e, err
}

// compare looks for what an output lacks that undisturbed ones have. What differs between those may differ, by a
// little: a part that is missing from an initramfs makes it smaller.
func compare(t *testing.T, l *Lane, whole, usual map[string]entry) {
	t.Helper()
	is := inventory(t, l)
	for name, want := range whole {
		other, always := usual[name]
		got, there := is[name]
		const share = 200
		switch {
		case !always:
		case !there:
			t.Errorf("%s is missing", name)
		case got.mode != want.mode, other == want && got != want:
			t.Errorf("%s is %v, not %v", name, got.mode, want.mode)
		case abs(got.size-want.size) > max(want.size/share, 4<<10):
			t.Errorf("%s has %d bytes, usually %d", name, got.size, want.size)
		}
	}
}

func abs(n int64) int64 { return max(n, -n) }
