//go:build root

package fault

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// differing are beginnings of paths whose content differs between two runs with the same seed and
// date. docs/decisions/0005-faults-and-space.md has the same list, with the reason.
var differing = []string{"var/cache/ldconfig/aux-cache"}

// TestRunsSideBySide has four runs at once in one build folder and with one package cache, again and
// again, and compares what they make with what a run alone makes.
func TestRunsSideBySide(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	s := Scenarios[0]
	s.Outputs = []string{"raw"}
	s.Args = []string{"--seed", "side by side"}
	l := NewLane(t, s)
	alone := *l
	alone.Suffix = "-alone"
	if _, err := alone.Measure(runLimit); err != nil {
		t.Fatal(err)
	}
	want := contents(t, l, alone.Outputs()["raw"])
	rounds := 1
	if full {
		rounds = 25
	}
	for range rounds {
		sideBySide(t, l, want)
	}
}

func sideBySide(t *testing.T, l *Lane, want map[string]string) {
	t.Helper()
	var lanes []*Lane
	var runs []*Run
	for i := range 4 {
		lane := *l
		lane.Suffix = fmt.Sprintf("-%d", i)
		r, err := lane.Start()
		if err != nil {
			t.Fatal(err)
		}
		lanes, runs = append(lanes, &lane), append(runs, r)
	}
	for i, r := range runs {
		if status, err := r.Wait(runLimit); err != nil || status != 0 {
			t.Fatalf("run %d: exit %d, %v\n%s", i, status, err, r.Text())
		}
		image := lanes[i].Outputs()["raw"]
		if d := cmp.Diff(want, contents(t, l, image)); d != "" {
			t.Errorf("run %d made other files than a run alone:\n%s", i, d)
		}
		if err := os.Remove(image); err != nil {
			t.Fatal(err)
		}
	}
	if _, left := l.Settle(settleLimit); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// contents lists the files of an image's root filesystem: kind, mode, owner, and link target or hash.
func contents(t *testing.T, l *Lane, image string) map[string]string {
	t.Helper()
	const list = `mount -o ro,noload,loop,offset="$2" "$1" "$3"; cd "$3"
find . -xdev -printf '%P\t%y %m %U:%G %l\n'
find . -xdev -type f -print0 | xargs -0 sha256sum | sed 's/^\([0-9a-f]*\)  .\/\(.*\)/\2\t\1/'`
	out, err := exec.Command("unshare", "--mount", "sh", "-ec", list, "sh", image, fmt.Sprint(rootOffset(t, image)), filepath.Join(l.Dir, "tmp")).Output()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, what, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !differs(name) {
			files[name] += what + " "
		}
	}
	if len(files) < 1000 {
		t.Fatalf("found only %d files", len(files))
	}
	return files
}

func differs(name string) bool {
	for _, d := range differing {
		if strings.HasPrefix(name, d) {
			return true
		}
	}
	return false
}

// rootOffset is where the largest partition begins, in bytes.
func rootOffset(t *testing.T, image string) (start int64) {
	t.Helper()
	out, err := exec.Command("sfdisk", "--json", image).Output()
	if err != nil {
		t.Fatal(err)
	}
	var table struct {
		PartitionTable struct{ Partitions []struct{ Start, Size int64 } }
	}
	if err := json.Unmarshal(out, &table); err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, p := range table.PartitionTable.Partitions {
		if p.Size > size {
			start, size = p.Start*512, p.Size
		}
	}
	return start
}
