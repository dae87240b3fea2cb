package fault

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/test/fixture"
)

// NewLane prepares a folder for runs of a scenario. It is removed, and its processes ended, when the
// test ends; that nothing is left by then is part of the test.
func NewLane(t testing.TB, s Scenario) *Lane {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "imagecustomizer-fault-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, d := range []string{"tmp", "home", "cache"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l := &Lane{Scenario: s, Binary: fixture.Binary(t), Image: s.Base, Config: configFile(t, dir, s.Config)}
	if !filepath.IsAbs(s.Base) {
		l.Image = fixture.Base(t, s.Base)
	}
	if s.Packages != "" {
		l.Extra = packageArgs(t, s.Packages)
	}
	if l.Watch, err = NewWatch(dir, "cache/apt", "cache/dnf", "cache/tdnf", "out/image", "home/.local/state/imagecustomizer/logs/"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("end of the watch: %v", err)
		}
	})
	return l
}

// configFile is a config as a file: it is the name of one, or its text.
func configFile(t testing.TB, dir, config string) string {
	t.Helper()
	path := filepath.Join(fixture.Root(), config)
	if !strings.Contains(config, "\n") {
		return path
	}
	path = filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// packageArgs are flags for packages on this machine: a run that is disturbed often must not need the
// network each time.
func packageArgs(t testing.TB, kind string) []string {
	t.Helper()
	switch kind {
	case "deb":
		return []string{"--deb-source", fixture.Debs(t, "jq"), "--disable-base-image-rpm-repos"}
	case "rpm":
		return []string{"--rpm-source", fixture.Base(t, "repo"), "--disable-base-image-rpm-repos"}
	}
	t.Fatalf("no packages of kind %q", kind)
	return nil
}
