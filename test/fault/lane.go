package fault

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
	l := &Lane{Scenario: s, Binary: fixture.Binary(t), Image: fixture.Base(t, s.Base), Config: configFile(t, dir, s.Config)}
	if s.Packages != "" {
		l.Extra = packageArgs(t, s.Packages)
	}
	if l.Watch, err = NewWatch(dir, "cache/apt", "cache/dnf", "cache/tdnf", "out/image."); err != nil {
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

// packageArgs are flags for a set of packages on this machine: a run that is disturbed often must
// not need the network each time.
func packageArgs(t testing.TB, set string) []string {
	t.Helper()
	if set != "debian" {
		t.Fatalf("no set of packages %q", set)
	}
	downloadOnce.Do(func() { debs, debsErr = download(fixture.Binary(t), fixture.Base(t, "debian12-efi")) })
	if debsErr != nil {
		t.Fatal(debsErr)
	}
	return []string{"--deb-source", debs, "--disable-base-image-rpm-repos"}
}

var (
	downloadOnce sync.Once
	debs         string
	debsErr      error
)

// download has the program itself fetch what the demo installs, and returns the folder. It is kept.
func download(binary, image string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "imagecustomizer", "base", "debs")
	if found, _ := filepath.Glob(dir + "/apt/jq_*.deb"); len(found) > 0 {
		return dir, nil
	}
	tmp, err := os.MkdirTemp("/var/tmp", "imagecustomizer-download-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	config := filepath.Join(tmp, "config.yaml")
	if err := os.WriteFile(config, []byte("os: {packages: {install: [jq]}}\n"), 0o644); err != nil {
		return "", err
	}
	cmd := exec.Command(binary, "--build-dir", tmp, "--image-file", image, "--config-file", config, "--output", "raw="+tmp+"/x", "--package-cache-dir", dir)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("download packages for the tests: %w: %s", err, text)
	}
	return dir, nil
}
