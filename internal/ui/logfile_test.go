package ui

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLogDir(t *testing.T) {
	t.Parallel()
	for want, env := range map[string]map[string]string{
		"/s/imagecustomizer/logs":              {"XDG_STATE_HOME": "/s", "HOME": "/h"},
		"/h/.local/state/imagecustomizer/logs": {"XDG_STATE_HOME": "relative", "HOME": "/h"},
		"":                                     {"HOME": ""},
	} {
		if got := LogDir(func(k string) string { return env[k] }); got != want {
			t.Errorf("%v: %q, want %q", env, got, want)
		}
	}
}

func TestLogsOfTheLastRunsAreKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state", "logs")
	for i := range 12 {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		name := time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC).Format("20060102T150405Z") + "-1.log"
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+"/mine.txt", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	u := open(t, Options{LogDir: dir, Out: &out})
	u.Handle(Event{Kind: Start, Step: "a", Title: "first"})
	u.Handle(Event{Kind: Fail, Step: "a", Title: "first"})
	u.Failure(errors.New("first: why"), "a", "")
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	logs, _ := filepath.Glob(dir + "/*.log")
	if len(logs) != keptLogs || strings.Contains(strings.Join(logs, " "), "20260101T000002Z") {
		t.Errorf("kept: %q", logs)
	}
	if _, err := os.Stat(dir + "/mine.txt"); err != nil {
		t.Error(err)
	}
	last := logs[len(logs)-1]
	if fi, err := os.Stat(last); err != nil || fi.Mode().Perm() != logMode || !strings.Contains(read(t, last), "msg=\"first: why\"") {
		t.Errorf("%s: %v, %v:\n%s", last, fi.Mode(), err, read(t, last))
	}
	if !strings.Contains(out.String(), "error: first: why\n  log: "+last+"\n") {
		t.Errorf("the failure:\n%s", out.String())
	}
}

func TestNoLogIsNoFailure(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	u := open(t, Options{LogDir: "/proc/nowhere", Out: &out})
	u.Failure(errors.New("why"), "", "")
	if err := u.Close(); err != nil || out.String() != "error: why\n" {
		t.Errorf("%v: %s", err, out.String())
	}
	if _, err := New(Options{LogFile: "/proc/nowhere/log", Out: &out}); err == nil {
		t.Error("a log file that was asked for and cannot be made passes")
	}
}

// TestLastLineOfAProgram wants what a program prints with its step, and in no other place.
func TestLastLineOfAProgram(t *testing.T) {
	t.Parallel()
	u := open(t, Options{Out: &bytes.Buffer{}})
	live := &liveView{out: &bytes.Buffer{}, size: func() (int, int) { return 40, 10 }, style: styleOf(func(string) string { return "" }, false)}
	plain := &plainView{out: &bytes.Buffer{}, start: time.Now()}
	for _, v := range []view{live, plain} {
		u.view = v
		u.Handle(Event{Kind: Start, Step: "a", Title: "install"})
		u.Logger().Debug("Unpacking \x1b[31mjq", "source", "command")
		u.Logger().Debug("not a program's")
	}
	if got := live.lines(); len(got) != 2 || strings.TrimSpace(got[1]) != `Unpacking \u001b[31mjq` {
		t.Errorf("live: %q", got)
	}
	plain.tick(time.Now().Add(firstSign))
	if got := plain.out.(*bytes.Buffer).String(); !strings.Contains(got, `install ... (10.0s so far; last line: Unpacking \u001b[31mjq)`) {
		t.Errorf("plain: %q", got)
	}
}

func TestQuiet(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	u := open(t, Options{Progress: "none", LogLevel: "warn", Out: &out})
	u.Handle(Event{Kind: Start, Step: "a", Title: "first"})
	u.Handle(Event{Kind: Done, Step: "a", Title: "first", Elapsed: time.Minute})
	u.Note("wrote it")
	u.Logger().Info("not shown")
	if u.Logger().Warn("careful"); u.Close() != nil || strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), "careful") {
		t.Errorf("%q", out.String())
	}
}
