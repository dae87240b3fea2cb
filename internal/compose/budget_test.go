package compose

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNothingGrowsWithoutBound: small files that come to much are refused where they become too much.
func TestNothingGrowsWithoutBound(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	long := strings.Repeat("x", 1<<20)
	uses := func(n int) string { return strings.Repeat("${{ v }}", n) }
	list := strings.Repeat("a, ", 100_000)
	for name, c := range map[string]struct {
		files set
		want  string
	}{
		"a text used often":      {set{"top.yaml": "variables: {v: {type: string, default: " + long + "}}\nos: {additionalFiles: [{destination: /f, content: \"" + uses(10_000) + "\"}]}"}, "top.yaml:2:51: error: expressions come to more than 16 MiB"},
		"in many places":         {set{"top.yaml": "variables: {v: {type: string, default: " + long + "}}\nos:\n  kernelCommandLine:\n    extraCommandLine:\n" + strings.Repeat("    - ${{ v }}\n", 10_000)}, "error: expressions come to more than 16 MiB"},
		"in a profile not taken": {set{"top.yaml": "variables: {v: {type: string, default: " + long + "}}\nprofiles: {p: {os: {additionalFiles: [{destination: /f, content: \"" + uses(10_000) + "\"}]}}}"}, "error: expressions come to more than 16 MiB"},
		"in a file":              {set{"top.yaml": "variables: {v: {type: string, default: " + long + "}}\ninclude: [a.yaml]", "a.yaml": "os: {additionalFiles: [{destination: /f, content: \"" + uses(10_000) + "\"}]}"}, "a.yaml:1:51: error: expressions come to"},
		"a list used often":      {set{"top.yaml": "variables: {v: {type: list, default: [" + list + "a]}}\nos: {packages: {install: [" + strings.Repeat("\"${{ v }}\", ", 1000) + "b]}}"}, "error: expressions come to more than 16 MiB"},
		"aliases":                {set{"top.yaml": "os:\n  kernelCommandLine:\n    extraCommandLine:\n    - &a " + long + "\n" + strings.Repeat("    - *a\n", 900)}, "error: this is too much: the config comes to more than 16 MiB of text"},
		"aliases of lists":       {set{"top.yaml": "os:\n  packages:\n    install: &l [" + list + "a]\n  users:\n" + strings.Repeat("  - {name: u, secondaryGroups: *l}\n", 900)}, "error: this is too much"},
		"aliases, included":      {set{"top.yaml": "include: [a.yaml]\nos: {hostname: h}", "a.yaml": "os:\n  kernelCommandLine:\n    extraCommandLine:\n    - &a " + long + "\n" + strings.Repeat("    - *a\n", 900)}, "a.yaml:20:7: error: this is too much"},
	} {
		dir := tree(t, c.files)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := processorTime(t)
		r, err := Load(filepath.Join(dir, "top.yaml"), &Files{Dir: dir}, Options{})
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		r.Report.Render(&b, false)
		if !strings.Contains(strings.ReplaceAll(b.String(), dir+"/", ""), c.want) {
			t.Errorf("%s: want %q in %.2000s", name, c.want, b.String())
		}
		const most = 1 << 30
		if used := after.TotalAlloc - before.TotalAlloc; used > most || processorTime(t)-began > 20*time.Second {
			t.Errorf("%s: took %d MiB and %v", name, used>>20, processorTime(t)-began)
		}
	}
}

// TestManyMistakes: the time to read a file that is wrong throughout grows with its length, and what is not shown is counted.
func TestManyMistakes(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const less, more = 2_000, 16_000
	for name, c := range map[string]struct {
		files map[string]string // in which @@ is to be repeated, with numbers
		want  string
	}{
		"items of a wrong kind": {set{"top.yaml": "os:\n  services:\n    enable:\n@@    - {x: s%d}@@"}, "and 15900 more errors"},
		"names that are none":   {set{"top.yaml": "os:\n  services:\n    enable:\n@@    - \"s %d\"@@"}, "and 15900 more errors"},
		"unknown keys":          {set{"top.yaml": "os:\n@@  key%d: x@@"}, "and 15900 more errors"},
		"doubles":               {set{"top.yaml": "os:\n  packages:\n    install:\n@@    - vim # %d@@"}, "and 0 more errors and 15899 more warnings"},
		"enabled and disabled":  {set{"top.yaml": "os:\n  services:\n    disable:\n@@    - s%d@@    enable:\n@@    - s%d@@"}, "and 15900 more errors"},
		"users":                 {set{"top.yaml": "os:\n  users:\n@@  - {nam: u%d}@@"}, "and 15900 more errors"},
		"merged groups":         {set{"top.yaml": "include: [a.yaml]\nos:\n  groups:\n@@  - {name: u%d}@@", "a.yaml": "os:\n  groups:\n@@  - {name: u%d}@@"}, ""},
		"in a profile":          {set{"top.yaml": "profiles:\n  p:\n    os:\n      services:\n        enable:\n@@        - \"s %d\"@@"}, "and 15900 more errors"},
		"a large environment":   {set{"top.yaml": "scripts:\n  postCustomization:\n  - content: x\n    environmentVariables:\n@@      \"k=%d\": x@@"}, "and 15900 more errors"},
		"removed again":         {set{"top.yaml": "include: [a.yaml]\nos:\n  packages:\n    install:\n@@    - !remove p%d@@", "a.yaml": "os:\n  packages:\n    install:\n@@    - p%d@@"}, ""},
	} {
		short, _ := timed(t, c.files, less)
		long, report := timed(t, c.files, more)
		if !strings.Contains(report, c.want) {
			t.Errorf("%s: want %q at the end of %s", name, c.want, report[max(0, len(report)-300):])
		}
		if t.Logf("%s: %v, %v", name, short, long); long > 4*(more/less)*max(short, 10*time.Millisecond) {
			t.Errorf("%s: %d lines took %v of processor time, and %d took %v", name, less, short, more, long)
		}
	}
}

// timed reads files of so many lines, and tells how much processor time that took.
func timed(t *testing.T, files map[string]string, n int) (time.Duration, string) {
	t.Helper()
	made := set{}
	for name, text := range files {
		parts := strings.Split(text, "@@")
		var b strings.Builder
		for i, p := range parts {
			for k := 0; i%2 == 1 && k < n; k++ {
				fmt.Fprintf(&b, p+"\n", k)
			}
			if i%2 == 0 {
				b.WriteString(p)
			}
		}
		made[name] = b.String()
	}
	dir := tree(t, made)
	began := processorTime(t)
	r, err := Load(filepath.Join(dir, "top.yaml"), &Files{Dir: dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	r.Report.Render(&b, false)
	return processorTime(t) - began, b.String()
}

// processorTime is what this thread has used.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
