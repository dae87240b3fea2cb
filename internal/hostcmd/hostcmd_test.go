package hostcmd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestErrorShowsCommandStatusAndLastLines(t *testing.T) {
	t.Parallel()
	err := New("sh", "-c", "seq 1 30; echo 'no space' >&2; exit 7").Run(context.Background())
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Exit != 7 || ExitStatus(err) != 7 {
		t.Fatalf("got %#v", err)
	}
	text := err.Error()
	if !strings.Contains(text, "no space") || !strings.Contains(text, "exit status 7") || strings.Contains(text, "\n    10\n") {
		t.Errorf("error text:\n%s", text)
	}
	if len(e.Tail) != tailLines {
		t.Errorf("%d lines kept", len(e.Tail))
	}
}

func TestMissingProgramIsNamed(t *testing.T) {
	t.Parallel()
	err := New("no-such-program-here").Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), `"no-such-program-here" is not installed`) {
		t.Errorf("got %v", err)
	}
	if Installed("no-such-program-here") || !Installed("sh") {
		t.Error("Installed is wrong")
	}
}

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("SECRET_OF_THE_USER", "x")
	out, err := New("env").Output(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, "SECRET_OF_THE_USER") || !strings.Contains(out, "LC_ALL=C.UTF-8") {
		t.Errorf("environment:\n%s", out)
	}
}

func TestCancelEndsGrandchildren(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	pid := make(chan string, 1)
	c := New("sh", "-c", "sleep 300 & echo $!; wait")
	c.OnLine = func(l string) { pid <- l }
	go func() { time.Sleep(200 * time.Millisecond); cancel() }()
	if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	n, err := strconv.Atoi(<-pid)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if syscall.Kill(n, 0) != nil || isZombie(n) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d survived", n)
}

func isZombie(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(data), ") Z ")
}

func TestStreamsAreCopied(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	var lines []string
	c := New("sh", "-c", "printf 'a\\rb\\n'; echo c >&2")
	c.Stdout, c.Stderr, c.OnLine = &out, &errs, func(l string) { lines = append(lines, l) }
	if err := c.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if out.String() != "a\rb\n" || errs.String() != "c\n" || len(lines) != 3 {
		t.Errorf("out %q, err %q, lines %q", out.String(), errs.String(), lines)
	}
}

func TestStringQuotesForAShell(t *testing.T) {
	t.Parallel()
	if got := New("a", "b c", "", "it's").String(); got != `a 'b c' '' 'it'\''s'` {
		t.Errorf("got %s", got)
	}
}
