//go:build root

package e2e

import (
	"regexp"
	"testing"
)

// TestMistakesHaveTheirPlace: what is wrong about an image is found by a dry run, all at once, each with its line.
func TestMistakesHaveTheirPlace(t *testing.T) {
	t.Parallel()
	const config = `os:
  packages:
    remove: [not-there]
  kernelCommandLine:
    extraCommandLine:
    - quiet
    - loglevel=4 root=UUID=00000000-1111-4222-8333-444444444444
    - cryptdevice=LABEL=none:root
  services:
    enable: [no-such-service]
`
	mistaken(t, config,
		`:3:14: error: not installed: not-there`, `:7:7: error: root=UUID=0+-1111-.* no partition of the image is that`,
		`:8:7: error: cryptdevice=LABEL=none:root: .*no partition of the image is that`, `:10:14: error: the image has no service no-such-service`)
}

// TestMistakesOfMachinesHaveTheirPlace: the same of what settles how machines start.
func TestMistakesOfMachinesHaveTheirPlace(t *testing.T) {
	t.Parallel()
	const config = `os:
  timezone: Europe/Osol
  locale: {lang: nb_NO.UTF-8}
  keymap: {layout: "no"}
  swap: {size: 8G}
  firstBoot:
  - {name: one, content: "true\n", before: ngimx}
  - {name: two, content: "true\n", before: systemd-udevd}
  - {name: three, content: "true\n", interpreter: /usr/bin/pythn}
  cloudInit: {clean: true}
  sudo: [{rule: "bob ALL=("}]
`
	mistaken(t, config,
		`:2:13: error: the image has no time zone Europe/Osol`, `:3:18: error: the image has no locale nb_NO.UTF-8`, `:4:3: error: nothing in the image sets a keymap`,
		`:5:16: error: there are \d+ MiB free at /`, `:7:44: error: the image has no unit ngimx`, `:8:44: error: the script cannot end before systemd-udevd.service`,
		`:9:51: error: the image has no interpreter`, `:10:3: error: the image has no cloud-init`, `:11:10: error: sudo of the image would not take the rule`)
}

// mistaken has a config planned for debian12-efi and looks for what is wrong with it.
func mistaken(t *testing.T, config string, wants ...string) {
	t.Helper()
	status, text := run(t, "--dry-run", "--build-dir", t.TempDir(), "--image-file", base(t, "debian12-efi"), "--config-file", writeConfig(t, config),
		"--output-image-file", t.TempDir()+"/out.raw", "--output-image-format", "raw")
	if status == 0 {
		t.Errorf("the config was taken:\n%s", text)
	}
	for _, want := range wants {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
