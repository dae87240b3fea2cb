package fault

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Report is what came out of torturing one scenario.
type Report struct {
	Scenario Scenario
	Timeline Timeline
	Outcomes []Outcome
	Whole    int // undisturbed runs in between, all of which succeeded
}

const reportHead = `# The last torture test

<!-- Written by "make torture". -->

Runs of the program are killed or interrupted, at points spread over their steps and their time. After
each, no process, loop device, mount or file of the run may be left, no output may be there but
complete ones, the base image must be unchanged, and the same build folder must serve the next run.
How it works is in [test/fault](../../test/fault).

`

// WriteReport writes the page about the last torture test.
func WriteReport(path string, reports []*Report) error {
	var b bytes.Buffer
	b.WriteString(reportHead)
	fmt.Fprintf(&b, "Date: %s. Machine: %d CPUs, %s, kernel %s.\n\n", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.GOARCH, kernel())
	b.WriteString("| Scenario | A run takes | SIGKILL to | Times | Run was over already | Until nothing was left: median, longest | Problems |\n|---|---|---|---|---|---|---|\n")
	for _, r := range reports {
		for _, t := range killed {
			r.row(&b, syscall.SIGKILL, t)
		}
	}
	b.WriteString("\n| Scenario | A run takes | SIGINT to | Times | Run was over already | Until nothing was left: median, longest | Problems |\n|---|---|---|---|---|---|---|\n")
	for _, r := range reports {
		r.row(&b, syscall.SIGINT, Supervisor)
	}
	b.WriteString("\n")
	for _, r := range reports {
		if len(r.Outcomes) > 0 {
			r.steps(&b)
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

func (r *Report) row(b *bytes.Buffer, sig syscall.Signal, t Target) {
	var gone []time.Duration
	over, problems := 0, 0
	for _, o := range r.Outcomes {
		if o.Signal != sig || o.Target != t {
			continue
		}
		gone = append(gone, o.Gone)
		problems += len(o.Problems)
		if o.Ended {
			over++
		}
	}
	if len(gone) == 0 {
		return
	}
	slices.Sort(gone)
	fmt.Fprintf(b, "| %s | %.1f s | %s | %d | %d | %.2f s, %.2f s | %d |\n", r.Scenario.Name, r.Timeline.Total.Seconds(), t, len(gone), over,
		gone[len(gone)/2].Seconds(), gone[len(gone)-1].Seconds(), problems)
}

func (r *Report) steps(b *bytes.Buffer) {
	var points []Point
	for _, o := range r.Outcomes {
		if o.Signal == syscall.SIGKILL {
			points = append(points, o.Point)
		}
	}
	fmt.Fprintf(b, "%s: killed at least once in each of %s. In between, %d runs were left alone and succeeded.\n\n",
		r.Scenario.Name, strings.Join(Covered(r.Timeline, points), ", "), r.Whole)
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	version, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-") // without what the builder added
	return version
}
