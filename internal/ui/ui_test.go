package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/hostcmd"
)

func open(t *testing.T, o Options) *UI {
	t.Helper()
	if o.Env == nil {
		o.Env = func(string) string { return "" }
	}
	u, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// at is a moment of a run that began at second 0.
func at(seconds float64) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

func wantText(t *testing.T, got, want string) {
	t.Helper()
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("text (-want +got):\n%s", d)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Options{
		`unknown log level "loud": allowed are panic, fatal, error, warn, info, debug, trace`: {LogLevel: "loud"},
		`unknown log format "xml": allowed are text, json`:                                    {LogFormat: "xml"},
		`unknown kind of progress "bar": allowed are auto, plain, json`:                       {Progress: "bar"},
		"cannot write the log file: open /nowhere/log: no such file or directory":             {LogFile: "/nowhere/log"},
	} {
		o.Out = io.Discard
		if _, err := New(o); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	v := &plainView{out: &out, start: at(0)}
	v.event(Event{Time: at(0.1), Kind: Start, Step: "open", Title: "open the image"})
	v.event(Event{Time: at(0.4), Kind: Done, Step: "open", Title: "open the image", Elapsed: 300 * time.Millisecond})
	v.event(Event{Time: at(0.4), Kind: Start, Step: "output", Title: "write vhdx"})
	v.event(Event{Time: at(1), Kind: Progress, Step: "output", Done: 1, Total: 4})
	for s := 1.0; s < 75; s++ {
		v.tick(at(s))
	}
	v.text([]byte("a log line\n"))
	v.event(Event{Time: at(75.4), Kind: Done, Step: "output", Title: "write vhdx", Elapsed: 75 * time.Second})
	v.event(Event{Time: at(75.4), Kind: Start, Step: "close"})
	v.event(Event{Time: at(3675), Kind: Fail, Step: "close", Title: "two\nlines \x1b[31m", Elapsed: time.Hour})
	v.tick(at(9999))
	wantText(t, out.String(), `[  0.4s] open the image (0.3s)
[ 11.0s] write vhdx ... (10.6s so far, 25%)
[ 41.0s] write vhdx ... (40.6s so far, 25%)
[ 1m11s] write vhdx ... (1m11s so far, 25%)
a log line
[ 1m15s] write vhdx (1m15s)
[ 1h01m] two lines \u001b[31m FAILED (1h00m)
`)
}

func TestPlainRun(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	u := open(t, Options{Out: &out})
	u.Handle(Event{Time: time.Now(), Kind: Start, Step: "a", Title: "first"})
	u.Logger().Warn("careful", "why", "two words")
	u.Logger().Debug("not shown")
	u.Handle(Event{Kind: Message, Level: "error", Text: "from the worker", Attrs: map[string]any{"b": 2, "a": 1}})
	u.Handle(Event{Kind: Message, Level: "debug", Text: "not shown"})
	u.Handle(Event{Kind: Done, Step: "a", Title: "first", Elapsed: 2 * time.Second})
	u.Handle(Event{Kind: Done, Step: "b", Title: "second", Elapsed: time.Second})
	u.Note("wrote %s", "out.vhdx")
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{
		` WRN careful why="two words"`, " ERR from the worker a=1 b=2", "[  0.0s] first (2.0s)", "[  0.0s] second (1.0s)",
		"wrote out.vhdx", "Done in 0.0s: 2 steps, longest a 2.0s, b 1.0s",
	} {
		if !strings.HasSuffix(lines[i], want) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want)
		}
	}
}

func TestNDJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	u := open(t, Options{Progress: "json", Out: &out})
	u.Handle(Event{Kind: Start, Step: "a", Title: "first"})
	u.Handle(Event{Kind: Progress, Step: "a", Done: 1, Total: 2})
	u.Logger().With("k", "v").WithGroup("g").Info("log", "x", 1)
	u.Logger().Debug("not shown")
	u.Note("note")
	u.Problems(func(w io.Writer, color bool) { _, _ = fmt.Fprintf(w, "problem, color %v", color) })
	u.Failure(errors.New("why"), "a", "do this")
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for dec := json.NewDecoder(&out); ; {
		var e Event
		if err := dec.Decode(&e); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
		if e.Time.IsZero() {
			t.Errorf("no time in %+v", e)
		}
		got = append(got, fmt.Sprint(e.Kind, e.Step, e.Title, e.Done, e.Total, e.Level, e.Text, e.Hint, e.Attrs))
	}
	if d := cmp.Diff([]string{
		"startafirst0 0map[]", "progressa1 2map[]", "message0 0infologmap[g.x:1 k:v]", "message0 0infonotemap[]",
		"message0 0errorproblem, color falsemap[]", "faila0 0whydo thismap[]",
	}, got); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

func TestLogFileHasEverything(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	file := t.TempDir() + "/log"
	u := open(t, Options{LogLevel: "error", LogFile: file, Out: &out})
	u.Logger().Debug("detail", "n", 1)
	u.Handle(Event{Kind: Start, Step: "a", Title: "first"})
	u.Handle(Event{Kind: Message, Level: "debug", Text: "from the worker"})
	u.Handle(Event{Kind: Fail, Step: "a", Title: "first"})
	u.Failure(errors.New("why"), "a", "do this")
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	log := read(t, file)
	for _, want := range []string{
		"level=debug msg=detail n=1", `level=info msg="step start" step=a title=first`, `level=debug msg="from the worker"`,
		`msg="step fail"`, `level=error msg=why step=a hint="do this"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log file lacks %s:\n%s", want, log)
		}
	}
	wantText(t, out.String(), "[  0.0s] first FAILED (0.0s)\nerror: why\n  hint: do this\n  log: "+file+"\n")
}

func TestLogFormatJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	u := open(t, Options{LogFormat: "json", LogLevel: "trace", Out: &out})
	u.Logger().Log(t.Context(), LevelTrace, "x", "k", "v")
	u.Logger().Log(t.Context(), LevelPanic, "y")
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if want := []string{"trace", "panic"}[i]; got["level"] != want {
			t.Errorf("level %v, want %s", got["level"], want)
		}
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	previous := slog.Level(100)
	for _, name := range []string{"panic", "fatal", "error", "warn", "info", "debug", "trace"} {
		l, err := ParseLevel(name)
		if err != nil || l >= previous || levelName(l) != name || levelName(l+1) != name {
			t.Errorf("%s is %d after %d and called %s, %v", name, l, previous, levelName(l), err)
		}
		previous = l
	}
	if got := levelName(-100); got != "trace" {
		t.Error(got)
	}
}

func TestFailure(t *testing.T) {
	t.Parallel()
	command := &hostcmd.Error{
		Command: "tdnf install -y tree", Exit: 243, Err: errors.New("exit status 243"),
		Tail: []string{"Loaded plugin", "No matching packages \x1b[2J"},
	}
	for name, c := range map[string]struct {
		err              error
		step, hint, want string
	}{
		"plain": {errors.New("it broke"), "", "", "error: it broke\n"},
		"command": {fmt.Errorf("cannot install tree: %w", command), "packages.install", "check the name\nor the sources", `error: packages.install: cannot install tree: exit status 243
  command: tdnf install -y tree
  its last lines:
      Loaded plugin
      No matching packages \u001b[2J
  hint: check the name
        or the sources
`},
		"joined": {errors.Join(errors.New("first"), errors.New("second")), "close", "", "error: close: first\n  second\n"},
	} {
		var b strings.Builder
		Failure(&b, c.err, c.step, c.hint)
		if b.String() != c.want {
			t.Errorf("%s: %s", name, cmp.Diff(c.want, b.String()))
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	u := open(t, Options{Out: io.Discard, LogFile: t.TempDir() + "/log"})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range int64(50) {
				u.Handle(Event{Kind: Progress, Step: fmt.Sprint(i), Done: n, Total: 50})
				u.Logger().Info("line")
			}
			u.Handle(Event{Kind: Done, Step: fmt.Sprint(i)})
		})
	}
	all.Wait()
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if got := len(u.sum.steps); got != 8 {
		t.Errorf("%d steps ended, want 8", got)
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0s", 0: "0.0s", 1234 * time.Millisecond: "1.2s", 59960 * time.Millisecond: "1m00s",
		125 * time.Second: "2m05s", 3599900 * time.Millisecond: "1h00m", 25*time.Hour + 90*time.Second: "25h02m",
	} {
		if got := seconds(d); got != want {
			t.Errorf("%d ns is %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 40: "5.0 TiB", 5000 << 40: "5000.0 TiB"} {
		if got := size(n); got != want {
			t.Errorf("%d bytes is %q, want %q", n, got, want)
		}
	}
}

// An image's text must not command the user's terminal.
func TestControlCharactersAreEscaped(t *testing.T) {
	t.Parallel()
	const evil = "x\x1b[2J\x1b]0;title\x07y\rz\u009b1m"
	var out bytes.Buffer
	u := open(t, Options{Out: &out})
	u.Logger().Warn(evil, "key", evil, "error", errors.New(evil), "list", []string{evil})
	u.Handle(Event{Kind: Message, Level: "warn", Text: evil, Attrs: map[string]any{"key": evil}})
	u.Handle(Event{Kind: Start, Step: evil, Title: evil})
	u.Handle(Event{Kind: Done, Step: evil, Title: evil})
	u.Note("%s", evil)
	u.Failure(errors.New(evil), evil, evil)
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && r < ' ' || r == '\u009b' }); i >= 0 {
		t.Errorf("the terminal gets a control character: %q", out.String()[max(0, i-20):i+10])
	}
	if n := strings.Count(out.String(), "[2J"); n != 7 { // tint drops it from attributes
		t.Errorf("only %d of the texts are there: %s", n, out.String())
	}
}

func TestScreenLevels(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	u := open(t, Options{LogLevel: "trace", Out: &out})
	for _, l := range levels {
		u.Logger().Log(t.Context(), l.level, "x")
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Fields(line)[1])
	}
	if d := cmp.Diff([]string{"PAN", "FAT", "ERR", "WRN", "INF", "DBG", "TRA"}, got); d != "" {
		t.Errorf("levels (-want +got):\n%s", d)
	}
}
