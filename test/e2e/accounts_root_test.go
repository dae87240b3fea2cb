//go:build root

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// accounts has names that the programs of some images refuse.
const accounts = `
os:
  groups: [{name: Ops}, {name: 2fa, gid: 4242}, {name: plain}]
  users:
  - {name: Admin, password: {type: plain-text, value: secret}, secondaryGroups: [Ops, plain]}
  - {name: 3com, primaryGroup: 2fa}
  - {name: first.last, uid: 4300, startupCommand: /bin/sh}
  - {name: plain2, secondaryGroups: [2fa]}
`

// TestAccountNamesOnRealImages makes accounts of every name that configs may give.
func TestAccountNamesOnRealImages(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"debian12-efi", "azl3", "mariner2"} {
		out := filepath.Join(t.TempDir(), "out.raw")
		customize(t, base(t, name), accounts, out, "raw")
		passwd, group, shadow := readFile(t, out, "/etc/passwd"), readFile(t, out, "/etc/group"), readFile(t, out, "/etc/shadow")
		for _, user := range []string{"Admin", "3com", "first.last", "plain2"} {
			if !strings.Contains(passwd, "\n"+user+":x:") || !strings.Contains(shadow, "\n"+user+":") || !exists(t, out, "/home/"+user) {
				t.Errorf("%s: user %s was not made:\n%s\n%s", name, user, passwd, shadow)
			}
		}
		for _, want := range []string{"2fa:x:4242:plain2", "Ops:x:"} {
			if !strings.Contains(group, "\n"+want) {
				t.Errorf("%s: no group %s:\n%s", name, want, group)
			}
		}
		if strings.Contains(shadow, "\nAdmin:*") || strings.Contains(shadow, "\nAdmin:!") || !strings.Contains(passwd, "\nfirst.last:x:4300:") {
			t.Errorf("%s: %s\n%s", name, shadow, passwd)
		}
	}
}

// TestBrokenNeedsOnARealImage has an image whose package manager could bring what is missing, but packages
// are not asked for.
func TestBrokenNeedsOnARealImage(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, `
os:
  users: [{name: a, secondaryGroups: [wheel], startupCommand: /usr/bin/zsh}]
  services: {enable: [sssh, fstrimm.timer]}
`)
	status, out := run(t, "--build-dir", t.TempDir(), "--image-file", base(t, "debian12-efi"), "--config-file", config, "--dry-run",
		"--output-image-file", filepath.Join(t.TempDir(), "out.raw"), "--output-image-format", "raw")
	for _, want := range []string{`did you mean "sudo"?`, "no program /usr/bin/zsh", `did you mean "ssh"?`, `did you mean "fstrim.timer"?`} {
		if !strings.Contains(out, want) || status != 3 {
			t.Errorf("status %d, no %q in\n%s", status, want, out)
		}
	}
}
