//go:build root

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// rpm makes an RPM package of one file and returns its folder. header and scripts are
// further lines and sections of its spec file.
func rpm(t *testing.T, dir, name, version, header, scripts string) string {
	t.Helper()
	top := t.TempDir()
	spec := fmt.Sprintf("Name: %[1]s\nVersion: %[2]s\nRelease: 1\nSummary: fixture\nLicense: MIT\nBuildArch: noarch\nAutoReqProv: no\n%[4]s\n%%description\nfixture\n"+
		"%%install\nmkdir -p %%{buildroot}/usr/share\necho %[2]s > %%{buildroot}/usr/share/%[1]s\n%[3]s\n%%files\n/usr/share/%[1]s\n", name, version, scripts, header)
	file := filepath.Join(top, "fixture.spec")
	if err := os.WriteFile(file, []byte(spec), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("rpmbuild", "-bb", "-D", "_topdir "+top, "-D", "_rpmdir "+dir, "-D", "_build_name_fmt %%{NAME}-%%{VERSION}.rpm", file)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return dir
}

// TestRPMPackages installs dnf into a Debian image from Debian's own archive, and then works with RPM
// packages there, first with dnf and then with a tdnf that is dnf.
func TestRPMPackages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	withDNF := filepath.Join(dir, "dnf.raw")
	// The package manager of an image is the one whose database its packages are in: dpkg's goes, rpm's comes.
	customize(t, base(t, "debian12-efi"), "os:\n  packages:\n    install: [dnf, rpm]\n"+
		"scripts: {postCustomization: [{content: \"set -e; mv /var/lib/dpkg /var/lib/dpkg.aside; rpm --initdb --dbpath /var/lib/rpm; ls -l /var/lib/rpm\"}]}\n", withDNF, "raw")
	if !exists(t, withDNF, "/usr/bin/dnf") || exists(t, base(t, "debian12-efi"), "/usr/bin/dnf") {
		t.Fatal("dnf was not installed, or was there before")
	}
	first := rpm(t, dir+"/first", "fixture-a", "2.0", "", "")
	rpm(t, first, "fixture-b", "1.0", "", "%post\necho abc > /etc/machine-id\nexit 0")
	rpm(t, first, "fixture-shell", "1.0", "Provides: /bin/sh", "")
	second := rpm(t, dir+"/second", "fixture-a", "1.0", "", "")
	broken := rpm(t, dir+"/broken", "fixture-pre", "1.0", "", "%pre\necho this package refuses\nexit 1")
	rpm(t, broken, "fixture-post", "1.0", "", "%post\necho post failed\nexit 3")
	rpm(t, broken, "fixture-dep", "1.0", "Requires: does-not-exist", "")

	rpm(t, broken, "fixture-shell", "1.0", "Provides: /bin/sh", "")

	config := "os:\n  packages:\n    install: [fixture-a, fixture-b]\n"
	out := filepath.Join(dir, "out.raw")
	sources := []string{"--rpm-source", first, "--rpm-source", second, "--package-cache-dir", dir + "/cache"}
	customize(t, withDNF, config, out, "raw", sources...)
	if got := readFile(t, out, "/usr/share/fixture-a"); got != "1.0\n" {
		t.Errorf("fixture-a is %q, the later source has 1.0", got)
	}
	if got := readFile(t, out, "/usr/share/fixture-b"); got != "1.0\n" {
		t.Errorf("fixture-b is %q", got)
	}
	if got, want := readFile(t, out, "/etc/machine-id"), readFile(t, withDNF, "/etc/machine-id"); got != want {
		t.Errorf("machine-id changed from %q to %q", want, got)
	}
	for _, path := range []string{"/_localrpms", "/run/imagecustomizer", "/var/cache/tdnf", "/var/log/dnf.log"} {
		if exists(t, out, path) {
			t.Errorf("%s stayed in the image", path)
		}
	}
	if extra, _ := filepath.Glob(first + "/[^f]*"); len(extra) > 0 {
		t.Errorf("written into the user's folder: %v", extra)
	}

	tdnf := "  additionalFiles:\n  - {destination: /usr/bin/tdnf, permissions: 755, content: \"#!/bin/sh\\nexec dnf \\\"$@\\\"\\n\"}\n"
	withTDNF := filepath.Join(dir, "tdnf.raw")
	customize(t, out, "os:\n"+tdnf, withTDNF, "raw")
	again := filepath.Join(dir, "again.raw")
	customize(t, withTDNF, "os:\n  packages:\n    remove: [fixture-b]\n    update: [fixture-a]\n", again, "raw", "--rpm-source", first)
	if exists(t, again, "/usr/share/fixture-b") {
		t.Error("fixture-b was not removed")
	}
	if got := readFile(t, again, "/usr/share/fixture-a"); got != "2.0\n" {
		t.Errorf("fixture-a is %q after the update", got)
	}

	for name, want := range map[string]string{
		"fixture-pre": "this package refuses", "fixture-post": "a package's script failed", "fixture-dep": "nothing provides does-not-exist", "nonsense": "nonsense",
	} {
		image := filepath.Join(dir, "never.raw")
		status, text := run(t, "--build-dir", dir, "--image-file", withTDNF, "--output", "raw="+image, "--rpm-source", broken,
			"--config-file", writeConfig(t, "os:\n  packages:\n    install: ["+name+"]\n"))
		planned := name == "nonsense" // names are looked for before anything is changed
		if status != 1 && !(planned && status == 3) || !strings.Contains(text, want) {
			t.Errorf("%s: exit %d, want %q in\n%s", name, status, want, text)
		}
		if _, err := os.Stat(image); err == nil {
			t.Errorf("%s: the failed run wrote an image", name)
		}
	}
}
