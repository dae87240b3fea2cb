package apt

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzRelease has only what a signature covers count.
func FuzzRelease(f *testing.F) {
	f.Add("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSuite: a\nSHA256:\n " + strings.Repeat("0a", 32) + " 12 main/binary-amd64/Packages\n-----BEGIN PGP SIGNATURE-----\n")
	f.Add("SHA256:\n x 1 y\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := &release{inline: true, text: []byte(text)}
		_ = r.parse()
		for name, l := range r.files {
			if l.size < 0 || !strings.Contains(text, "BEGIN PGP SIGNED") || !strings.Contains(text, name) {
				t.Errorf("%q: %+v", name, l)
			}
		}
	})
}

// FuzzDeb reads packages of any content.
func FuzzDeb(f *testing.F) {
	f.Add([]byte("!<arch>\ndebian-binary   0           0     0     100644  4         `\n2.0\ncontrol.tar     0           0     0     100644  10        `\n0123456789"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if text, err := debControl(bytes.NewReader(data)); err == nil && len(text) > maxControl {
			t.Error("a description without end")
		}
	})
}

// FuzzStanzas keeps no more of a field than is allowed, and no name across packages.
func FuzzStanzas(f *testing.F) {
	f.Add(testStatus)
	f.Fuzz(func(t *testing.T, text string) {
		n := 0
		if err := eachStanza(strings.NewReader(text), func(s *stanza) {
			n++
			if len(s.name) == 0 || len(s.provides) > longest {
				t.Errorf("%q", s.name)
			}
			w := parseDebWish(string(s.name))
			_ = w.satisfied(s)
		}); err != nil || n > strings.Count(text, "Package:") {
			t.Errorf("%d packages, %v", n, err)
		}
	})
}

// FuzzAptEntries finds entries only in lines that are there.
func FuzzAptEntries(f *testing.F) {
	f.Add("deb [arch=amd64] cdrom:[x y]/ stable main\n", false)
	f.Add("Types: deb\nURIs: file:/x\n http://y\nSuites: s\n", true)
	f.Fuzz(func(t *testing.T, text string, paragraphs bool) {
		name := map[bool]string{false: "a.list", true: "a.sources"}[paragraphs]
		lines := strings.Count(text, "\n") + 1
		entries := aptEntries(name, text)
		for _, e := range entries {
			if e.first < 0 || e.end > lines || e.first >= e.end || len(e.uris) == 0 || len(e.suites) == 0 {
				t.Errorf("%+v", e)
			}
		}
		for _, p := range parts(entries, []string{"amd64"}) {
			_ = aptListName(p.base)
		}
	})
}
