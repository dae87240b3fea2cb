package fault

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Point is one place where a run is disturbed, and how.
type Point struct {
	Step   int     // index in the timeline; negative where only the time counts
	Share  float64 // of the time that the step takes, or the run
	Target Target
	Signal syscall.Signal
}

// after is how long after the start of its step, or the run's, the point comes.
func (p Point) after(t Timeline) time.Duration {
	took := t.Total
	if p.Step >= 0 {
		took = t.Steps[p.Step].Took
	}
	return time.Duration(p.Share * float64(took))
}

// killed are the targets of SIGKILL, in turn.
var killed = []Target{Supervisor, Worker, Both, Init, All}

// Points spreads n points over a run: one in every step first, then half by step and half by time.
// The same seed gives the same points.
func Points(t Timeline, n int, sig syscall.Signal, seed uint64) []Point {
	r := rand.New(rand.NewPCG(seed, 0))
	points := make([]Point, n)
	order := r.Perm(len(t.Steps))
	for i := range points {
		p := Point{Step: -1, Share: r.Float64(), Target: Supervisor, Signal: sig}
		if sig == syscall.SIGKILL {
			p.Target = killed[i%len(killed)]
		}
		switch {
		case i < len(order):
			p.Step = order[i]
		case i%2 == 0:
			p.Step = r.IntN(len(t.Steps))
		}
		points[i] = p
	}
	return points
}

// Mix puts the few between the many, evenly.
func Mix(many, few []Point) (all []Point) {
	n := 0
	for i, p := range many {
		all = append(all, p)
		for ; n*len(many) < (i+1)*len(few); n++ {
			all = append(all, few[n])
		}
	}
	return append(all, few[n:]...)
}

// Covered are the names of the steps in which a point lies.
func Covered(t Timeline, points []Point) (names []string) {
	for _, p := range points {
		if p.Step >= 0 && !slices.Contains(names, t.Steps[p.Step].Name) {
			names = append(names, t.Steps[p.Step].Name)
		}
	}
	slices.Sort(names)
	return names
}

// Outcome is what a disturbed run did.
type Outcome struct {
	Point
	Ended    bool          // the run was over before its point came
	Status   int           // exit status; -1 when it was killed
	Gone     time.Duration // from the signal until nothing was left
	Problems []string      // what should not be; empty is good
}

const (
	// settleLimit is how long the kernel may take to close what killed processes had open. Dirty pages of
	// a loop device are written back meanwhile.
	settleLimit = 20 * time.Second
	// runLimit is far more than any run takes, even on a busy machine.
	runLimit = 10 * time.Minute
)

// Disturb starts a run, disturbs it and looks at what is left. The timeline is that of an earlier run.
func (l *Lane) Disturb(p Point, t Timeline) (o Outcome) {
	o.Point = p
	bad := func(format string, args ...any) { o.Problems = append(o.Problems, fmt.Sprintf(format, args...)) }
	if err := l.Clear(); err != nil {
		bad("%v", err)
		return o
	}
	r, err := l.Start()
	if err != nil {
		bad("%v", err)
		return o
	}
	o.Ended = !r.awaitPoint(p, t)
	hit := time.Now()
	if !o.Ended {
		r.Signal(p.Target, p.Signal)
	}
	if o.Status, err = r.Wait(runLimit); err != nil {
		bad("%v", err)
		r.Signal(All, syscall.SIGKILL)
	}
	_, left := l.Settle(settleLimit)
	o.Gone = time.Since(hit)
	for _, x := range left {
		bad("left behind: %s", x)
	}
	l.judge(r, &o, bad)
	return o
}

// awaitPoint waits until a run has come to the point; false means that it has ended before.
func (r *Run) awaitPoint(p Point, t Timeline) bool {
	if p.Step >= 0 && !r.Reach(p.Step) {
		return false
	}
	wait := p.after(t)
	if p.Step < 0 {
		wait = time.Until(r.start.Add(wait))
	}
	select {
	case <-r.done:
		return false
	case <-time.After(wait):
		return true
	}
}

// judge compares how the run ended with what its point allows.
func (l *Lane) judge(r *Run, o *Outcome, bad func(string, ...any)) {
	n, err := l.Complete()
	if err != nil {
		bad("%v", err)
	}
	all := len(l.Outputs())
	switch {
	case o.Status == 0 && n < all:
		bad("exit 0, but only %d of %d outputs are there", n, all)
	case o.Status > 0 && n > 0:
		bad("exit %d, but %d outputs are there", o.Status, n)
	case o.Status != 0 && o.Ended:
		bad("exit %d before it was disturbed:\n%s", o.Status, r.Text())
	case o.Ended || o.Status == 0:
	case o.Signal == syscall.SIGINT && (o.Status != 130 || !strings.Contains(r.Failure(), "interrupted")):
		bad("exit %d after SIGINT:\n%s", o.Status, r.Text())
	case o.Target == Init || o.Target == Worker:
		if o.Status != 1 || !strings.Contains(r.Failure(), "the worker") {
			bad("exit %d when the worker was killed:\n%s", o.Status, r.Text())
		}
	}
}
