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
	status, text := run(t, "--dry-run", "--build-dir", t.TempDir(), "--image-file", base(t, "debian12-efi"), "--config-file", writeConfig(t, config),
		"--output-image-file", t.TempDir()+"/out.raw", "--output-image-format", "raw")
	if status == 0 {
		t.Errorf("the config was taken:\n%s", text)
	}
	for _, want := range []string{
		`:3:14: error: not installed: not-there`, `:7:7: error: root=UUID=0+-1111-.* no partition of the image is that`,
		`:8:7: error: cryptdevice=LABEL=none:root: .*no partition of the image is that`, `:10:14: error: the image has no service no-such-service`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
