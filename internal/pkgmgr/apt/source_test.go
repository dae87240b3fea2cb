package apt

import (
	"os"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/rootfs"
)

func TestSourcesThatCannotBeReachedAreLeftOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/srv/repo/dists/stable", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := rootfs.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, c := range []struct{ name, text, uris, left, rest string }{
		{"a.list", "deb http://a.test/debian stable main\n", "http://a.test/debian", "", "deb http://a.test/debian stable main"},
		{"a.list", "# comment\ndeb cdrom:[Debian GNU/Linux 12.5.0 _Bookworm_ - Official amd64 NETINST]/ bookworm main\n", "", "a.list:2: cdrom:[Debian GNU/Linux 12.5.0 _Bookworm_ - Official amd64 NETINST]/ is left out, since it is on a CD", "# deb cdrom:"},
		{"a.list", "deb [check-date=no] file:///cdrom noble main\n", "", "a.list:1: file:///cdrom is left out", "# deb [check"},
		{"a.list", "deb [trusted=yes] file:/media/usb ./\n", "", "the image has no such folder", ""},
		{"a.list", "deb copy:/srv/none stable main\ndeb file:/srv/repo stable main\n", "file:/srv/repo", "a.list:1: copy:/srv/none", "\ndeb file:/srv/repo"},
		{"a.list", "deb-src http://a.test/ x main # deb cdrom:[x]/ y z\n", "http://a.test/", "", ""},
		{"a.sources", "Types: deb\nURIs: cdrom:[x y]/ \n", "", "", "URIs: cdrom"}, // no suite: apt's to refuse
		{"a.sources", "# c\nTypes: deb\nURIs: http://a.test/debian\n file:/cdrom\nSuites: stable\nComponents: main\n", "http://a.test/debian", "a.sources:1: file:/cdrom", "URIs: http://a.test/debian\n#\nSuites"},
		{"a.sources", "Types: deb\nURIs: file:/cdrom\nSuites: noble\nComponents: main\n\nTypes: deb\nuris: http://b.test\nSuites: x\nComponents: y\n", "http://b.test", "a.sources:1: file:/cdrom", "# URIs: file:/cdrom"},
		{"a.sources", "Enabled: no\nTypes: deb\nURIs: file:/cdrom\nSuites: noble\nComponents: main\n", "", "", "\nURIs: file:/cdrom"},
	} {
		rest, entries, left := withoutUnreachable(root, c.name, c.text)
		var uris []string
		for _, e := range entries {
			uris = append(uris, e.uris...)
		}
		if strings.Join(uris, " ") != c.uris || !strings.Contains(strings.Join(left, "\n"), c.left) || c.left == "" && len(left) > 0 || !strings.Contains(rest, c.rest) {
			t.Errorf("%q: %q, %q\n%s", c.text, uris, left, rest)
		}
		if strings.Count(rest, "\n") != strings.Count(c.text, "\n") {
			t.Errorf("%q: lines moved", c.text)
		}
	}
}

func TestPartsOfEntries(t *testing.T) {
	t.Parallel()
	entries := aptEntries("a.list", "deb [arch=amd64,i386 signed-by=/k] http://a.test/debian stable main contrib\ndeb-src http://a.test/debian stable main\n"+
		"deb http://a.test/debian/ stable main\ndeb http://b.test ./\ndeb http://c.test $(ARCH)/\n")
	var got []string
	for _, p := range parts(entries, []string{"amd64"}) {
		got = append(got, p.base+" "+strings.Join(p.names, " "))
	}
	want := []string{
		"http://a.test/debian/dists/stable/ main/binary-amd64/Packages main/binary-i386/Packages main/binary-all/Packages " +
			"contrib/binary-amd64/Packages contrib/binary-i386/Packages contrib/binary-all/Packages",
		"http://b.test/./ Packages", "http://c.test/amd64/ Packages",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestListNames has names as apt gives its lists.
func TestListNames(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://deb.debian.test/debian/dists/bookworm/InRelease": "deb.debian.test_debian_dists_bookworm_InRelease",
		"http://127.0.0.1:8080/a_b/./Packages":                   "127.0.0.1:8080_a%5fb_._Packages",
		"https://user:pass@a.test/~x/dists/s/InRelease":          "a.test_%7ex_dists_s_InRelease",
	} {
		if got := aptListName(url); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}
