//go:build root

package pkgmgr

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestQuestionsThatNeverEnd: an image whose package manager waits for ever, itself or by a child that has its output.
func TestQuestionsThatNeverEnd(t *testing.T) {
	defer func(usual time.Duration) { stall = usual }(stall)
	stall = time.Second
	lower := debian(t)
	for _, script := range []string{"sleep 600 & exec sleep 600", "(trap '' TERM; while :; do sleep 60; done) & wait"} {
		text := "#!/bin/sh\n" + script + "\n"
		m := over(t, lower, t.TempDir(), map[string]string{"/usr/bin/rpm": text, "/usr/bin/dnf": text, "/usr/bin/debconf-set-selections": text})
		s := &Session{m: m, dir: t.TempDir()}
		r, start := &rpm{s: s, program: "dnf", repos: &repoSet{}}, time.Now()
		if r.owns(t.Context(), "/etc/passwd") {
			t.Error("it owns a file")
		}
		_, looked := r.look(t.Context(), nil)
		_, asked := r.hasGroup(t.Context(), "group")
		for _, err := range []error{looked, asked, (&apt{s: s}).answer(t.Context(), []string{"a a/b string c"})} {
			if err == nil || !strings.Contains(err.Error(), "nothing has happened for 1s") {
				t.Errorf("%s: %v", script, err)
			}
		}
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("%s: after %s", script, took)
		}
	}
}

// TestAllProgramsAreWatched reads the code: a program of the image is run by watch, whatever for.
func TestAllProgramsAreWatched(t *testing.T) {
	files, _ := filepath.Glob("*.go")
	for _, f := range files {
		text, err := os.ReadFile(f)
		must(t, err)
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		if n := strings.Count(string(text), ".m.Run("+"ctx") + strings.Count(string(text), ".m.Output("); n > 0 && f != "stall.go" || n > 1 {
			t.Errorf("%s runs programs of the image past watch", f)
		}
	}
}
