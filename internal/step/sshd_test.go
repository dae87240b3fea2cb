package step

import (
	"strings"
	"testing"
)

func TestSSHDLines(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"rootLogin: no": "PermitRootLogin no", "rootLogin: 'yes'": "PermitRootLogin yes",
		"passwordAuthentication: true":                                "PasswordAuthentication yes",
		"rootLogin: prohibit-password, passwordAuthentication: false": "PermitRootLogin prohibit-password|PasswordAuthentication no|KbdInteractiveAuthentication no",
	} {
		if got := strings.Join(SetSSHD{parse(t, "os: {sshd: {"+yaml+"}}").OS.SSHD}.lines(), "|"); got != want {
			t.Errorf("%s: %q, want %q", yaml, got, want)
		}
	}
}

func TestSSHDThatTheImageLacks(t *testing.T) {
	t.Parallel()
	const none = "os.sshd: the image has no sshd (install openssh-server in the same run)\n"
	if got := problemTexts(t, "os: {sshd: {rootLogin: no}}", "sshd", map[string]string{"etc/x": ""}); got != none {
		t.Errorf("%q, want %q", got, none)
	}
	mistakes(t, "sshd", map[string]string{"{rootLogin: maybe}": "prohibit-password", "{passwordAuthentication: 3}": "2:34: error"})
}
