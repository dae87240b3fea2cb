//go:build root

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAzureLinuxPackageFailures has the package manager refuse for every reason it knows. Each time
// its own explanation is shown and no image is written.
func TestAzureLinuxPackageFailures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, want := range map[string]string{
		"nonsense":           "nonsense package not found or not installed",
		"fixture-broken-dep": "nothing provides does-not-exist-anywhere needed by fixture-broken-dep",
		"fixture-fail-pre":   "this package refuses",
		"fixture-fail-post":  "%post(fixture-fail-post-1.0-1.azl3.noarch) scriptlet failed, exit status 3",
	} {
		image := filepath.Join(dir, name+".raw")
		status, text := run(t, "--build-dir", dir, "--image-file", base(t, "azl3"), "--output", "raw="+image,
			"--rpm-source", base(t, "repo"), "--disable-base-image-rpm-repos",
			"--config-file", writeConfig(t, "os:\n  packages:\n    install: ["+name+"]\n"))
		if status != 1 || !strings.Contains(text, want) {
			t.Errorf("%s: exit %d, want %q in\n%s", name, status, want, text)
		}
		if _, err := os.Stat(image); err == nil {
			t.Errorf("%s: the failed run wrote an image", name)
		}
	}
}

// TestAzureLinuxPackages installs a package in an old version and, in a second run, updates it by
// dnf: a changed configuration file stays as it is. Packages that trigger it rebuild the initramfs.
func TestAzureLinuxPackages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.raw"), filepath.Join(dir, "second.raw")
	repo := []string{"--rpm-source", base(t, "repo"), "--disable-base-image-rpm-repos"}
	customize(t, base(t, "azl3"), `
os:
  packages:
    install: [fixture-demo-1.0, dracut-vrf]
    remove: [chrony]
  services: {enable: [fixture-demo]}
scripts:
  postCustomization:
  - content: echo answer=43 > /etc/fixture-demo.conf; lsinitrd /boot/initramfs-*.img | grep -c vrf.ko > /etc/vrf
    environmentVariables: {PATH: /usr/bin:/usr/sbin}
`, first, "raw", repo...)
	customize(t, first, "os:\n  packages:\n    update: [fixture-demo]\n", second, "raw", repo...)
	for _, c := range []struct{ disk, path, want string }{
		{first, "/usr/share/fixture-demo/version", "1.0\n"},
		{first, "/etc/vrf", "1\n"},
		{second, "/usr/share/fixture-demo/version", "2.0\n"},
		{second, "/etc/fixture-demo.conf", "answer=43\n"},
	} {
		if got := readFile(t, c.disk, c.path); got != c.want {
			t.Errorf("%s: %q, want %q", c.path, got, c.want)
		}
	}
	if !exists(t, base(t, "azl3"), "/usr/sbin/chronyd") || exists(t, second, "/usr/sbin/chronyd") {
		t.Error("chrony was not removed, or never there")
	}
}

// TestAzureLinuxWithoutTDNF works on an image that has the command dnf and no tdnf.
func TestAzureLinuxWithoutTDNF(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	withDNF, out := filepath.Join(dir, "dnf.raw"), filepath.Join(dir, "out.raw")
	repo := []string{"--rpm-source", base(t, "repo"), "--disable-base-image-rpm-repos"}
	customize(t, base(t, "azl3"), `
os: {packages: {install: [dnf, fixture-demo-1.0, tree]}}
scripts:
  postCustomization:
  - {content: rm /usr/bin/tdnf, environmentVariables: {PATH: /usr/bin}}
`, withDNF, "raw", repo...)
	if exists(t, withDNF, "/usr/bin/tdnf") || !exists(t, withDNF, "/usr/bin/dnf") || !exists(t, base(t, "azl3"), "/usr/bin/tdnf") {
		t.Fatal("tdnf is there, or dnf is not, or the base image had no tdnf")
	}
	customize(t, withDNF, "os:\n  packages:\n    install: [jq]\n    remove: [tree]\n    update: [fixture-demo]\n", out, "raw", repo...)
	if exists(t, withDNF, "/usr/bin/jq") || !exists(t, out, "/usr/bin/jq") {
		t.Error("jq was not installed, or there before")
	}
	if !exists(t, withDNF, "/usr/bin/tree") || exists(t, out, "/usr/bin/tree") {
		t.Error("tree was not removed, or never there")
	}
	if got := readFile(t, out, "/usr/share/fixture-demo/version"); got != "2.0\n" {
		t.Errorf("fixture-demo is %q after the update", got)
	}
	for _, path := range []string{"/_localrpms", "/var/cache/dnf", "/var/log/dnf.log"} {
		if exists(t, out, path) {
			t.Errorf("%s stayed in the image", path)
		}
	}
}
