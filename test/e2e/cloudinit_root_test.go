//go:build root

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/test/fixture"
)

// TestCloudInitChecksItsTexts has cloud-init of the image, which comes in the same run, refuse what our rules let pass.
func TestCloudInitChecksItsTexts(t *testing.T) {
	t.Parallel()
	if os.Getenv("FULL") == "" {
		return // what it says is in TestCloudInitThatDidNotCheck
	}
	for _, name := range []string{"debian12-efi", "debian13-efi"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			debs := fixture.DebsFor(t, name, "cloud-init")
			config := writeConfig(t, `
os:
  packages: {install: [cloud-init]}
  cloudInit:
    seed:
      userData: {content: "#cloud-config\nusers:\n- {name: bob, unknown: key}\n"}
`)
			status, out := run(t, "--build-dir", t.TempDir(), "--image-file", base(t, name), "--config-file", config, "--deb-source", debs,
				"--output-image-file", filepath.Join(t.TempDir(), "out.raw"), "--output-image-format", "raw")
			if want := "does not take the user-data: Cloud config schema errors: users.0"; status == 0 || !strings.Contains(out, want) {
				t.Errorf("status %d, want %q in\n%s", status, want, out)
			}
		})
	}
}

// TestCloudInitComesAndGoes installs cloud-init with a seed on a medium, and removes it in a second run.
func TestCloudInitComesAndGoes(t *testing.T) {
	t.Parallel()
	if os.Getenv("FULL") == "" {
		return // its steps have tests of their own
	}
	dir := t.TempDir()
	first, second, medium := filepath.Join(dir, "first.raw"), filepath.Join(dir, "second.raw"), filepath.Join(dir, "seed.iso")
	customize(t, base(t, "debian12-efi"), `
output: {seedImage: `+medium+`}
os:
  packages: {install: [cloud-init]}
  cloudInit: {seed: {userData: {content: "#cloud-config\nhostname: x\n"}}}
`, first, "raw", "--deb-source", fixture.Debs(t, "cloud-init"), "--disable-base-image-rpm-repos")
	text := sh(t, dir, "xorriso -osirrox on -indev seed.iso -extract / files >/dev/null 2>&1; cat files/user-data; cut -d: -f1 files/meta-data; blkid -p -s LABEL -o value seed.iso")
	if text != "#cloud-config\nhostname: x\ninstance-id\ncidata" {
		t.Errorf("the medium holds %q", text)
	}
	if exists(t, first, "/var/lib/cloud/seed/nocloud") || readFile(t, first, "/etc/cloud/cloud.cfg.d/99-zz-image.cfg") != "datasource_list: [NoCloud, None]\n" {
		t.Error("the image has the seed too, or does not look for it")
	}
	customize(t, first, "os: {cloudInit: {mode: remove}}\n", second, "raw")
	for _, name := range []string{"/usr/bin/cloud-init", "/etc/cloud", "/var/lib/cloud", "/etc/systemd/system/cloud-init.target.wants"} {
		if exists(t, second, name) {
			t.Errorf("%s is still there", name)
		}
	}
}
