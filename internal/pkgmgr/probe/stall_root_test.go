//go:build root

package probe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/pkgmgr/apt"
	"imagecustomizer/internal/pkgmgr/rpm"
)

// TestQuestionsThatNeverEnd: an image whose package manager waits for ever, itself or by a child that has its output.
func TestQuestionsThatNeverEnd(t *testing.T) {
	defer func(usual time.Duration) { machine.Stall = usual }(machine.Stall)
	machine.Stall = time.Second
	lower := debian(t)
	for _, script := range []string{"sleep 600 & exec sleep 600", "(trap '' TERM; while :; do sleep 60; done) & wait"} {
		text := "#!/bin/sh\n" + script + "\n"
		files := map[string]string{"/usr/bin/dnf": text, "/usr/bin/debconf-set-selections": text}
		m, start := over(t, lower, t.TempDir(), files), time.Now()
		_, answered := pkgmgr.Open(t.Context(), m, apt.Manager{}, pkgmgr.Options{Debconf: []string{"a a/b string c"}})
		groups, err := pkgmgr.Open(t.Context(), m, rpm.DNF, pkgmgr.Options{NoBaseRepos: true})
		must(t, err)
		must(t, m.Root.Remove("/usr/bin/rpm"), m.Root.WriteFile("/usr/bin/rpm", []byte("#!/bin/sh\n"), 0o755))
		grouped := groups.Remove(t.Context(), []string{"@group"})
		must(t, m.Root.Remove("/usr/bin/rpm"), m.Root.WriteFile("/usr/bin/rpm", []byte(text), 0o755))
		named := groups.Remove(t.Context(), []string{"name"})
		_, listed := rpm.Database{}.Installed(t.Context(), m)
		_, owned := rpm.Database{}.Owner(t.Context(), m, "/etc/passwd")
		for i, err := range []error{answered, grouped, named, listed, owned} {
			if err == nil || !strings.Contains(err.Error(), "nothing has happened for 1s") {
				t.Errorf("%s: %d: %v", script, i, err)
			}
		}
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("%s: after %s", script, took)
		}
		_ = groups.Close(t.Context())
	}
}

// TestFIFOsEndARun: a file of the image that nobody writes to, read by a program that is no package manager.
func TestFIFOsEndARun(t *testing.T) {
	defer func(usual time.Duration) { machine.Stall = usual }(machine.Stall)
	machine.Stall = time.Second
	m := over(t, debian(t), t.TempDir(), nil)
	must(t, unix.Mkfifo(filepath.Join(m.Root.Dir(), "etc/waits"), 0o644))
	for name, run := range map[string]func() error{
		"run":    func() error { return m.Run(t.Context(), hostcmd.New("sh", "-c", "cat /etc/waits; :")) },
		"output": func() error { _, err := m.Output(t.Context(), hostcmd.New("cat", "/etc/waits")); return err },
	} {
		start := time.Now()
		if err := run(); err == nil || !strings.Contains(err.Error(), "nothing has happened for 1s") || time.Since(start) > time.Minute {
			t.Errorf("%s: %v after %s", name, err, time.Since(start))
		}
	}
	if err := m.RunScript(t.Context(), hostcmd.New("sleep", "4")); err != nil {
		t.Errorf("a script may wait: %v", err)
	}
}

// TestAllProgramsAreWatched reads the code: a program of the image is run by Watch, whatever for.
func TestAllProgramsAreWatched(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../*.go", "../*/*.go"} {
		some, err := filepath.Glob(pattern)
		must(t, err)
		files = append(files, some...)
	}
	if len(files) < 30 {
		t.Fatalf("only %d files", len(files))
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		must(t, err)
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		n := strings.Count(string(text), "m.Run(ctx") + strings.Count(string(text), "achine.Run(ctx") + strings.Count(string(text), ".Output(ctx")
		if n > 0 && filepath.Base(f) != "stall.go" || n > 1 {
			t.Errorf("%s runs programs of the image past Watch", f)
		}
	}
}
