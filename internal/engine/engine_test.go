package engine

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/ui"
)

// said collects what is reported, and what is done in between.
type said struct {
	mu   sync.Mutex
	list []string
}

func (s *said) add(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, line)
}

func (s *said) event(e ui.Event) { s.add(strings.Join([]string{string(e.Kind), e.Stage, e.Step}, " ")) }

func (s *said) step(name string, err error) plan.Step {
	return plan.Task(plan.Seal, name, "do "+name, func(context.Context) error {
		s.add("run " + name)
		return err
	})
}

func TestStepsRunInOrderUntilOneFails(t *testing.T) {
	t.Parallel()
	var s said
	r := Runner{Report: s.event, Before: func() error { s.add("before"); return nil }}
	err := r.Run(t.Context(), plan.Plan{s.step("a", nil), s.step("b", errors.New("broken")), s.step("c", nil)})
	want := []string{"start seal a", "before", "run a", "done seal a", "start seal b", "before", "run b", "fail seal b"}
	if !slices.Equal(s.list, want) {
		t.Errorf("%q", s.list)
	}
	if f := failure.Of(err); f.Step != "b" || f.Error() != "do b: broken" {
		t.Errorf("%+v", f)
	}
	s.list, r.Before = nil, func() error { return errors.New("not ready") }
	if err := r.Run(t.Context(), plan.Plan{s.step("a", nil)}); err == nil || slices.Contains(s.list, "run a") {
		t.Errorf("%v: %q", err, s.list)
	}
}

func TestNothingBeginsAfterTheEnd(t *testing.T) {
	t.Parallel()
	var s said
	ctx, cancel := context.WithCancelCause(t.Context())
	end := plan.Task(plan.Input, "end", "end", func(context.Context) error { cancel(errors.New("enough")); return nil })
	err := Runner{Report: s.event}.Run(ctx, plan.Plan{end, s.step("later", nil)})
	if err == nil || err.Error() != "do later: enough" || !slices.Equal(s.list, []string{"start input end", "done input end"}) {
		t.Errorf("%v: %q", err, s.list)
	}
}

// TestLanesEndEachForItself: what fails in one lane ends that one, and every error is told.
func TestLanesEndEachForItself(t *testing.T) {
	t.Parallel()
	var s said
	meet := make(chan bool)
	lane := func(name string, wait func(), err error) plan.Plan {
		first := plan.Task(plan.Output, name, "do "+name, func(context.Context) error { wait(); return err })
		return plan.Plan{first, s.step(name+" later", nil)}
	}
	err := Runner{Report: func(ui.Event) {}}.Run(t.Context(), plan.Plan{
		plan.Lanes{lane("a", func() { meet <- true }, errors.New("one")), lane("b", func() { <-meet }, nil), lane("c", func() {}, errors.New("two"))},
		s.step("after", nil),
	})
	if err == nil || err.Error() != "do a: one\ndo c: two" || !slices.Equal(s.list, []string{"run b later"}) {
		t.Errorf("%v: %q", err, s.list)
	}
}

// asked is a step that says what asks for it.
type asked struct{ plan.Step }

func (asked) AskedBy() string { return "scripts.postCustomization[1]" }

func TestFailureSaysWhatAskedForTheStep(t *testing.T) {
	t.Parallel()
	root, err := rootfs.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	m := machine.NewFake(&machine.Facts{}, root).Machine
	m.Log = slog.Default()
	var s said
	err = Runner{Machine: m, Report: s.event}.Run(t.Context(), plan.Plan{asked{s.step("a", errors.New("broken"))}})
	if f := failure.Of(err); f.Path != "scripts.postCustomization[1]" || f.Step != "a" {
		t.Errorf("%+v", f)
	}
}
