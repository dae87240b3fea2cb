package users

import (
	"strings"
	"testing"

	"imagecustomizer/internal/feature/featuretest"
)

func TestSudoLines(t *testing.T) {
	t.Parallel()
	rules := featuretest.Parse[usersTest](t, `os:
  sudo:
  - {user: alice, password: false}
  - {group: operators, commands: [/usr/bin/systemctl restart nginx, "/usr/bin/x a,b"], runAs: root}
  - {user: first.last}
  - {rule: '#1001 ALL=(ALL) ALL'}
`).OS.Sudo
	want := []string{
		"alice ALL=(ALL:ALL) NOPASSWD: ALL", `%operators ALL=(root) /usr/bin/systemctl restart nginx, /usr/bin/x a\,b`,
		"first.last ALL=(ALL:ALL) ALL", "#1001 ALL=(ALL) ALL",
	}
	if got := (SetSudo{Rules: rules}).lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q, want %q", got, want)
	}
	if strings.ContainsAny(sudoFile[len(sudoersDir)+1:], ".~") {
		t.Errorf("sudo does not read a file called %s", sudoFile)
	}
}

func TestSudoThatTheImageLacks(t *testing.T) {
	t.Parallel()
	const none = "os.sudo: the image has no sudo (install sudo in the same run)\n"
	if got := featuretest.ProblemTexts(t, featuretest.Parse[usersTest](t, "os: {sudo: [{user: root}]}").OS.Sudo, map[string]string{"etc/x": ""}); got != none {
		t.Errorf("%q, want %q", got, none)
	}
}

func TestSudoIncludes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"root ALL=(ALL) ALL\n@includedir /etc/sudoers.d\n": true, "#includedir /etc/sudoers.d": true, "#includedir /etc/sudoers.d/\n": true,
		"@includedir sudoers.d\n": true, "# includedir /etc/sudoers.d\n": false, "#@includedir /etc/sudoers.d": false, "": false, "#includedir /etc/sudoers.dx": false,
	} {
		if got := sudoIncludes.MatchString(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestSudoRulesAreChecked(t *testing.T) {
	t.Parallel()
	featuretest.Mistakes[usersTest](t, "sudo", map[string]string{
		"[{}]":                                 "one of user, group and rule",
		"[{user: a, group: b}]":                "one of user, group and rule",
		"[{commands: [/bin/x]}]":               "one of user, group and rule",
		"[{user: a, commands: [systemctl]}]":   `2:31: error: "systemctl" is not the full path of a program`,
		"[{user: a, commands: [\"/x\\ny\"]}]":  "is not the full path",
		"[{rule: \"a ALL=ALL\\nb ALL=ALL\"}]":  "not one rule",
		"[{rule: 'a ALL=ALL \\'}]":             "not one rule",
		"[{rule: '#include /etc/x'}]":          "not one rule",
		"[{rule: '# a ALL=ALL'}]":              "not one rule",
		"[{rule: a ALL=ALL, password: false}]": "cannot be mixed",
		"[{user: 'a b'}]":                      "2:17: error",
	})
}
