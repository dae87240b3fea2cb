package ui

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"imagecustomizer/internal/printable"
)

// jsonView writes events as NDJSON.
type jsonView struct{ enc *json.Encoder }

func (v jsonView) event(e Event) { _ = v.enc.Encode(e) }

func (v jsonView) text([]byte) {}

func (v jsonView) said(string) {}

func (v jsonView) tick(time.Time) {}

func (v jsonView) interval() time.Duration { return 0 }

// stepState is a step that has begun and not ended.
type stepState struct {
	name, title string
	start       time.Time
	done, total int64     // bytes; total is 0 where it is not known
	shown       time.Time // last line about it, for plainView
	said        string    // last line that a program of it printed
}

// percent is how much is done, or -1.
func (s *stepState) percent() int {
	if s.total <= 0 {
		return -1
	}
	return int(100 * float64(min(s.done, s.total)) / float64(s.total))
}

// stepList is the steps that run at the moment, in the order they began.
type stepList []*stepState

// follow updates the list by an event. A step that reports without having begun begins now.
func (l *stepList) follow(e Event) {
	i := slices.IndexFunc(*l, func(s *stepState) bool { return s.name == e.Step })
	switch e.Kind {
	case Start, Progress:
		if i < 0 || e.Kind == Start {
			*l = append(*l, &stepState{name: e.Step, title: cmp.Or(e.Title, e.Step), start: e.Time, shown: e.Time})
			i = len(*l) - 1
		}
		(*l)[i].done, (*l)[i].total = e.Done, e.Total
	case Done, Fail:
		if i >= 0 {
			*l = slices.Delete(*l, i, i+1)
		}
	}
}

// said notes what a program printed: it belongs to the step that began last.
func (l stepList) said(line string) {
	if len(l) > 0 {
		l[len(l)-1].said = printable.Line(line)
	}
}

// quietView shows nothing but whole lines.
type quietView struct{ out io.Writer }

func (v quietView) event(Event) {}

func (v quietView) said(string) {}

func (v quietView) text(b []byte) { _, _ = v.out.Write(b) }

func (v quietView) tick(time.Time) {}

func (v quietView) interval() time.Duration { return 0 }

// plainView writes a line for each step when it ends, and one now and then while it runs, in ASCII
// but for the titles: for logs of build services, which end jobs that are silent.
type plainView struct {
	out   io.Writer
	start time.Time // of the run
	steps stepList
}

// Times between lines about a step that still runs: the first is early, to tell what takes long.
const (
	firstSign = 10 * time.Second
	laterSign = 30 * time.Second
)

func (v *plainView) interval() time.Duration { return time.Second }

func (v *plainView) event(e Event) {
	v.steps.follow(e)
	switch e.Kind {
	case Done:
		v.line(e.Time, "%s (%s)", plainName(e.Step, e.Title), seconds(e.Elapsed))
	case Fail:
		v.line(e.Time, "%s FAILED (%s)", plainName(e.Step, e.Title), seconds(e.Elapsed))
	}
}

func (v *plainView) line(now time.Time, format string, args ...any) {
	line := fmt.Sprintf("[%6s] ", seconds(now.Sub(v.start))) + fmt.Sprintf(format, args...)
	_, _ = fmt.Fprintln(v.out, line)
}

func (v *plainView) tick(now time.Time) {
	for _, s := range v.steps {
		wait := laterSign
		if s.shown.Equal(s.start) {
			wait = firstSign
		}
		if now.Sub(s.shown) < wait {
			continue
		}
		s.shown = now
		far := ""
		if p := s.percent(); p >= 0 {
			far = fmt.Sprintf(", %d%%", p)
		}
		if s.said != "" {
			far += "; last line: " + s.said
		}
		v.line(now, "%s ... (%s so far%s)", plainName(s.name, s.title), seconds(now.Sub(s.start)), far)
	}
}

// plainName is a step's title, or its name where it has none.
func plainName(name, title string) string { return printable.Line(cmp.Or(title, name)) }

func (v *plainView) said(line string) { v.steps.said(line) }

func (v *plainView) text(b []byte) { _, _ = v.out.Write(b) }

// seconds is a time as people read it: 0.3s, 59.9s, 2m05s, 1h02m.
func seconds(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d.Round(100*time.Millisecond) < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d.Round(time.Second) < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}

// size is a number of bytes as people read it.
func size(n int64) string {
	const unit = 1024
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= unit && i < len(units)-1 {
		f, i = f/unit, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// summary is what is said at the end of a run.
type summary struct {
	first, last time.Time
	steps       []Event // that ended well
	failed      bool
	failedStep  string // name of the step that failed last
}

func (s *summary) add(e Event) {
	if e.Kind == Message {
		return
	}
	if s.first.IsZero() {
		s.first = e.Time
	}
	s.last = e.Time
	switch e.Kind {
	case Done:
		s.steps = append(s.steps, e)
	case Fail:
		s.failed, s.failedStep = true, e.Step
	}
}

// longest is how many steps the summary names, and worth how long they must have taken.
const (
	longest = 3
	worth   = time.Second
)

// line is the summary, empty when nothing was done or something failed.
func (s *summary) line() string {
	if len(s.steps) == 0 || s.failed {
		return ""
	}
	text := fmt.Sprintf("Done in %s: %d steps", seconds(s.last.Sub(s.first)), len(s.steps))
	if len(s.steps) == 1 {
		text = strings.TrimSuffix(text, "s")
	}
	slow := slices.Clone(s.steps)
	slices.SortStableFunc(slow, func(a, b Event) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	var names []string
	for _, e := range slow[:min(longest, len(slow))] {
		if e.Elapsed >= worth {
			names = append(names, e.Step+" "+seconds(e.Elapsed))
		}
	}
	if len(names) > 0 && len(s.steps) > 1 {
		text += ", longest " + strings.Join(names, ", ")
	}
	return printable.Text(text)
}
