//go:build root

package broken

import (
	"os"
	"strings"
	"testing"

	"imagecustomizer/test/tinydisk"
)

const aliceKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINXb2gGbwouVzQ/yX+3B4vqdMYk0s+1p17sf9w1JDt8w alice"

// busyboxUsers makes accounts on a system without shadow's programs, systemd and a package manager.
const busyboxUsers = `os:
  groups:
  - {name: operators, gid: 4242}
  users:
  - {name: root, password: {type: plain-text, value: secret}}
  - {name: alice, uid: 4300, password: {type: plain-text, value: pw}, secondaryGroups: [wheel, operators], startupCommand: /bin/sh, sshPublicKeys: ["` + aliceKey + `"]}
  - {name: Bob, password: {type: locked}}
`

func TestAccountsOfASystemWithoutPrograms(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "raw")
	p.files(tinydisk.Files{"/etc/group": "root:x:0:\nwheel:x:10:\n", "/etc/skel/.profile": "hello\n"})
	p.do(os.WriteFile(p.config, []byte(busyboxUsers), 0o644))
	if status, out := p.run(); status != 0 {
		t.Fatalf("status %d\n%s", status, out)
	}
	for file, want := range map[string]string{
		"/etc/passwd":                      "root:x:0:0:root:/root:/bin/sh\nalice:x:4300:4300::/home/alice:/bin/sh\nBob:x:4301:4301::/home/Bob:/bin/sh\n",
		"/etc/group":                       "root:x:0:\nwheel:x:10:alice\noperators:x:4242:alice\nalice:x:4300:\nBob:x:4301:\n",
		"/home/alice/.ssh/authorized_keys": aliceKey + "\n", "/home/Bob/.profile": "hello\n",
	} {
		if got := tinydisk.Read(t, p.out, file); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", file, got, want)
		}
	}
	if shadow := tinydisk.Read(t, p.out, "/etc/shadow"); strings.Count(shadow, "\n") != 3 || !strings.HasPrefix(shadow, "root:$6$") || !strings.Contains(shadow, "\nBob:*:") {
		t.Errorf("shadow:\n%s", shadow)
	}
}

// TestWhatAnImageLacksIsReportedAtOnce gives configs with many faults, of which each is shown at its place.
func TestWhatAnImageLacksIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		yaml string
		want []string
	}{
		"today's": {`os:
  users:
  - name: alice
    secondaryGroups: [rooot, nix]
    startupCommand: /bin/bash
  - {name: bob, uid: 0}
  services: {enable: [sshd], disable: [crond]}
`, []string{
			"config.yaml:4:23: error: the image has no group rooot", `did you mean "root"?`, "config.yaml:4:30: error: the image has no group nix",
			"config.yaml:5:21: error: the image has no program /bin/bash", "config.yaml:6:22: error: the number 0 of user bob is that of user root",
			"config.yaml:7:23: error: service sshd: the image has no systemd", "config.yaml:7:40: error: service crond: the image has no systemd",
		}},
		"that of 2023": {`SystemConfig:
  Users:
  - Name: alice
    PrimaryGroup: nix
  Services: {Enable: [{Name: sshd}]}
`, []string{"config.yaml:4:19: error: the image has no group nix", "config.yaml:5:23: error: service sshd"}},
	} {
		for _, args := range [][]string{nil, {"--dry-run"}} {
			p := newPlace(t, "raw")
			p.args = args
			p.do(os.WriteFile(p.config, []byte(c.yaml), 0o644))
			status, out := p.run()
			if status != 3 {
				t.Errorf("%s %v: status %d", name, args, status)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("%s %v: no %q in\n%s", name, args, want, out)
				}
			}
		}
	}
}
