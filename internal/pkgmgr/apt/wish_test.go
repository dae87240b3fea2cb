package apt

import (
	"strings"
	"testing"
)

const testStatus = `Package: exim4-daemon-light
Status: install ok installed
Architecture: amd64
Version: 4.96-15
Provides: mail-transport-agent, default-mta
Conffiles:
 /etc/x 123

Package: libssl3t64
Status: install ok installed
Architecture: amd64
Version: 3.0.13-0ubuntu3
Provides: libssl3 (= 3.0.13-0ubuntu3),
 libssl3:any (= 3.0.13)

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: half
Status: install ok half-installed
Architecture: amd64
Version: 1

Package: libc6
Status: install ok installed
Architecture: i386
Version: 2.36-9`

func TestDebWishes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]bool{ // by its own name; or by what a package stands for
		"exim4-daemon-light": {true, true}, "exim4-daemon-light=4.96-15": {true, true}, "exim4-daemon-light=4.97": {false, false},
		"exim4-daemon-light/bookworm": {true, true}, "exim4-daemon-light:amd64": {true, true}, "exim4-daemon-light:arm64": {false, false},
		"default-mta": {false, true}, "mail-transport-agent": {false, true}, "mta": {false, false}, "default-mta=1": {false, false},
		"libssl3": {false, true}, "libssl3=3.0.13-0ubuntu3": {false, true}, "libssl3=3.1": {false, false}, "libssl3:amd64": {false, true},
		"gone": {false, false}, "half": {false, false}, "libc6:i386": {true, true}, "libc6:amd64": {false, false}, "libc6:i386=2.36-9": {true, true},
		"exim4-*": {true, true}, "exim5-*": {false, false}, "default-*": {false, false},
	} {
		w := parseDebWish(text)
		var got [2]bool
		err := eachStanza(strings.NewReader(testStatus), func(s *stanza) {
			got[0] = got[0] || s.installed() && w.named(s)
			got[1] = got[1] || s.installed() && w.satisfied(s)
		})
		if err != nil || got != want {
			t.Errorf("%s: %v, want %v (%v)", text, got, want, err)
		}
	}
}

// TestStanzasOfAnyLength has lines longer than any buffer, and a file that has no end of line.
func TestStanzasOfAnyLength(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3<<20)
	text := "Package: a\nDescription: " + long + "\nSHA256: 1\n\n\nPackage: b\nProvides: " + strings.Repeat("p, ", 1<<20) + "q\n" + strings.Repeat(" z,\n", 1<<19) + "SHA256: 2"
	var got string
	if err := eachStanza(strings.NewReader(text), func(s *stanza) {
		got += string(s.name) + string(s.sum)
		if len(s.provides) > longest+1 {
			t.Errorf("%d bytes are kept of a field", len(s.provides))
		}
	}); err != nil || got != "a1b2" {
		t.Errorf("%q %v", got, err)
	}
}
