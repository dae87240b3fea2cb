package users

import (
	"strings"
	"testing"

	"imagecustomizer/internal/feature/featuretest"
)

// usersTest is a config of the sections here.
type usersTest struct {
	OS struct {
		Groups Groups    `yaml:"groups"`
		Users  Users     `yaml:"users"`
		SSHD   SSHD      `yaml:"sshd"`
		Sudo   SudoRules `yaml:"sudo"`
	} `yaml:"os"`
}

func TestSSHDLines(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"rootLogin: no": "PermitRootLogin no", "rootLogin: 'yes'": "PermitRootLogin yes",
		"passwordAuthentication: true":                                "PasswordAuthentication yes",
		"rootLogin: prohibit-password, passwordAuthentication: false": "PermitRootLogin prohibit-password|PasswordAuthentication no|KbdInteractiveAuthentication no",
	} {
		if got := strings.Join(SetSSHD{featuretest.Parse[usersTest](t, "os: {sshd: {"+yaml+"}}").OS.SSHD}.lines(), "|"); got != want {
			t.Errorf("%s: %q, want %q", yaml, got, want)
		}
	}
}

func TestSSHDThatTheImageLacks(t *testing.T) {
	t.Parallel()
	const none = "os.sshd: the image has no sshd (install openssh-server in the same run)\n"
	if got := featuretest.ProblemTexts(t, featuretest.Parse[usersTest](t, "os: {sshd: {rootLogin: no}}").OS.SSHD, map[string]string{"etc/x": ""}); got != none {
		t.Errorf("%q, want %q", got, none)
	}
	featuretest.Mistakes[usersTest](t, "sshd", map[string]string{"{rootLogin: maybe}": "prohibit-password", "{passwordAuthentication: 3}": "2:34: error"})
}
