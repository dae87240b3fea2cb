package app

import (
	"strings"
	"testing"

	"imagecustomizer/internal/identity"
)

func TestIdentityIsPrinted(t *testing.T) {
	t.Parallel()
	traces := []identity.Trace{
		{Row: "ssh-host-keys", What: "SSH host keys", Shared: true, Level: identity.Minimal, Count: 4, Files: []string{"/a", "/b", "/c", "/d"}},
		{Row: "logs", What: "logs", Level: identity.Golden, Count: 1, Files: []string{"/var/log/x"}},
	}
	var b strings.Builder
	if err := printIdentity(traces, &b); err != nil {
		t.Fatal(err)
	}
	want := "Clones would share:\n  ssh-host-keys  minimal  SSH host keys  /a, /b and 2 more\n" +
		"Left by the machine on which it was made:\n  logs  golden  logs  /var/log/x\n"
	if !strings.HasPrefix(b.String(), want) {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if err := printIdentity(nil, &b); err != nil || !strings.Contains(b.String(), "holds nothing") {
		t.Errorf("%s %v", b.String(), err)
	}
}
