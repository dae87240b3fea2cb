package hostcmd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
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

// TestProgramWithoutProgressEnds: how long a program takes is no reason to end it, that it does nothing is.
func TestProgramWithoutProgressEnds(t *testing.T) {
	defer func(usual time.Duration) { patience = usual }(patience)
	patience = 600 * time.Millisecond
	for script, ends := range map[string]bool{
		"sleep 60":                               true,
		"sleep 60 & wait":                        true,
		"for i in $(seq 20); do sleep 0.1; done": false,
		"i=0; while [ $i -lt 1500000 ]; do i=$((i+1)); done": false,
		"seq 10": false,
	} {
		start := time.Now()
		err := New("sh", "-c", script).Run(context.Background())
		if ends != (err != nil && strings.Contains(err.Error(), "neither computed")) || time.Since(start) > 20*time.Second {
			t.Errorf("%s: %v after %s", script, err, time.Since(start))
		}
	}
	slow := New("sh", "-c", "yes | head -c 500000")
	slow.Stdout = slowWriter{}
	if err := slow.Run(context.Background()); err != nil {
		t.Errorf("a program whose output was taken slowly: %v", err)
	}
}

type slowWriter struct{}

func (slowWriter) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(len(p)) * time.Second / 300000)
	return len(p), nil
}

func TestLinesWithoutEndAreCut(t *testing.T) {
	t.Parallel()
	for script, want := range map[string][]int{
		"head -c 30000000 /dev/zero | tr '\\0' x":                                        {maxLine},
		"head -c 70000 /dev/zero | tr '\\0' x; echo; echo short":                         {maxLine, 5},
		"head -c 65536 /dev/zero | tr '\\0' x; echo; head -c 100 /dev/zero | tr '\\0' x": {maxLine, 100},
	} {
		start := time.Now()
		var got []int
		c := New("sh", "-c", script)
		c.OnLine = func(line string) {
			text, _, _ := strings.Cut(line, " ... ")
			got = append(got, len(text))
		}
		if err := c.Run(context.Background()); err != nil || !slices.Equal(got, want) || time.Since(start) > 20*time.Second {
			t.Errorf("%s: lines of %d bytes after %s, %v", script, got, time.Since(start), err)
		}
	}
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	_, err := New("sh", "-c", "head -c 100000000 /dev/zero").Output(context.Background())
	if err == nil || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Errorf("got %v", err)
	}
}

func TestWantOfMemoryIsNamed(t *testing.T) {
	t.Parallel()
	if oomKills() < 0 {
		t.Fatal("this kernel does not count")
	}
	err := New("sh", "-c", "exit 1").Run(context.Background())
	if err := lackedMemory(err, 3, 3); strings.Contains(err.Error(), "memory") {
		t.Errorf("none was lacking: %v", err)
	}
	if err := lackedMemory(err, 3, 4); !strings.Contains(err.Error(), "memory ran out") {
		t.Errorf("got %v", err)
	}
}
