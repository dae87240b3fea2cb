//go:build root

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// logins sets who may log in and what they may do, against files that say something else and are read first or last.
const logins = `
os:
  users: [{name: first.last}, {name: bob}]
  groups: [{name: operators}]
  additionalFiles:
  - {destination: /etc/ssh/sshd_config.d/00-a.conf, content: "PasswordAuthentication yes\nKbdInteractiveAuthentication yes\n"}
  - {destination: /etc/ssh/sshd_config, content: "PermitRootLogin yes\nInclude /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n"}
  - {destination: /etc/sudoers.d/x, content: "first.last ALL=(ALL) PASSWD: ALL\n", permissions: "440"}
  sudo:
  - {user: first.last, password: false}
  - {group: operators, commands: [/usr/bin/systemctl restart nginx], runAs: root}
  sshd: {rootLogin: prohibit-password, passwordAuthentication: false}
scripts:
  postCustomization:
  - content: |
      export PATH=/usr/sbin:/usr/bin:/sbin:/bin
      ssh-keygen -q -t ed25519 -N '' -f /tmp/key
      sshd -T -h /tmp/key > /etc/e2e-sshd
      { sudo -l -U first.last; stat -c '%a %U' /etc/sudoers.d/zz-image; ls /run/sshd /tmp/imagecustomizer-hostkey; } > /etc/e2e-sudo 2>&1 || true
`

func TestLogins(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "out.raw")
	customize(t, base(t, "debian12-efi"), logins, out, "raw")
	said := "\n" + readFile(t, out, "/etc/e2e-sshd")
	for _, want := range []string{"\npermitrootlogin without-password\n", "\npasswordauthentication no\n", "\nkbdinteractiveauthentication no\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("sshd does not say %q:\n%s", want, said)
		}
	}
	said = readFile(t, out, "/etc/e2e-sudo")
	last := strings.LastIndex(said, "(ALL : ALL) NOPASSWD: ALL") // the last rule wins
	if last < strings.LastIndex(said, "PASSWD: ALL")-len("(ALL : ALL) NO") || last < 0 || !strings.Contains(said, "440 root") {
		t.Errorf("sudo says\n%s", said)
	}
	if !strings.Contains(said, "cannot access '/tmp/imagecustomizer-hostkey'") {
		t.Errorf("the key for asking sshd is still there:\n%s", said)
	}
}

// TestLoginsThatCannotBe has the image's own programs find what is wrong, when planning.
func TestLoginsThatCannotBe(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]string{
		"os: {sudo: [{user: root}, {rule: 'root ALL=(ALL NOPASSWD: ALL'}]}": "config.yaml:1:27: error: sudo of the image would not take the rule",
		"os: {sudo: [{user: rot}]}":                                         `did you mean "root"?`,
		"os: {sudo: [{group: operators}], groups: [{name: operator}]}":      `did you mean "operator"?`,
	} {
		status, out := run(t, "--build-dir", t.TempDir(), "--image-file", base(t, "debian12-efi"), "--config-file", writeConfig(t, config), "--dry-run",
			"--output-image-file", filepath.Join(t.TempDir(), "out.raw"), "--output-image-format", "raw")
		if status != 3 || !strings.Contains(out, want) {
			t.Errorf("status %d, want %q in\n%s", status, want, out)
		}
	}
	status, out := run(t, "--build-dir", t.TempDir(), "--image-file", base(t, "debian12-efi"), "--config-file", writeConfig(t, `
os:
  additionalFiles: [{destination: /etc/ssh/sshd_config, content: "Match User root\n  PermitRootLogin yes\n"}]
  sshd: {rootLogin: no}
`), "--output-image-file", filepath.Join(t.TempDir(), "out.raw"), "--output-image-format", "raw")
	if status == 0 || !strings.Contains(out, `"permitrootlogin yes": a Match block`) {
		t.Errorf("status %d\n%s", status, out)
	}
}
