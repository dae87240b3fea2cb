//go:build root

package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func install(names ...string) map[string][]string { return map[string][]string{"install": names} }
func update(names ...string) map[string][]string  { return map[string][]string{"update": names} }
func remove(names ...string) map[string][]string  { return map[string][]string{"remove": names} }

// sampled is how many of the failures, from the first, every run of the tests has.
const sampled = 4

// failures are the runs that have to fail on every manager. An address with URL is served, see serve.
var failures = []failure{
	{name: "repository down", sections: install("c-trigged"), want: `(?s)could not be read: down \(`,
		repo: "[all]\nbaseurl=file://DIR/all\ngpgcheck=0\n[down]\nbaseurl=http://127.0.0.1:9/x\nskip_if_unavailable=True\ngpgcheck=0\n"},
	{name: "script in Lua", sections: install("c-lua"), want: `script failed: .*(lua script failed|script warning)|script.*c-lua`},
	{name: "%post", sections: install("c-post"), want: `c-post.*script|script.*c-post`},
	{name: "all faults of a file", planned: true, sections: install("c-one"), want: `(?s)x\.repo:1: .*x\.repo:3: \[c d\].*x\.repo:5: \[c d\] priority.*x\.repo:6: .*/no/such/key on the build host`,
		repo: "stray\n[ok]\n[c d]\nbaseurl=http://x\npriority=soon\ngpgkey=file:///no/such/key\n"},

	{name: "image's own repositories down", sections: install("c-trigged"), base: true, want: `could not be read: \w+-official-base`,
		only: (*conformance).isTDNF},
	{name: "repository without index", sections: install("c-trigged"), want: `could not be read: gone`,
		repo: "[all]\nbaseurl=file://DIR/all\ngpgcheck=0\n[gone]\nbaseurl=URL/nothing\nskip_if_unavailable=1\ngpgcheck=0\n"},
	{name: "index that is not what repomd.xml says", sections: install("c-trigged"), want: `bad`,
		repo: "[all]\nbaseurl=file://DIR/all\ngpgcheck=0\n[bad]\nbaseurl=URL/badindex\nskip_if_unavailable=1\ngpgcheck=0\n"},
	{name: "badly signed", sections: install("c-trigged"), want: `could not be read: signed`,
		repo: "[signed]\nbaseurl=URL/badsignature\nskip_if_unavailable=1\ngpgcheck=0\nrepo_gpgcheck=1\n"},
	{name: "damaged download", sections: install("c-trigged"), want: `(?i)checksum|digest|c-trigged|download`,
		repo: "[all]\nbaseurl=URL/damaged\ngpgcheck=0\n"},
	{name: "download cut short", sections: install("c-trigged"), want: `(?i)checksum|digest|c-trigged|download`,
		repo: "[all]\nbaseurl=URL/short\ngpgcheck=0\n"},
	{name: "package gone", sections: install("c-trigged"), want: `(?i)404|c-trigged|download`, repo: "[all]\nbaseurl=URL/missing\ngpgcheck=0\n"},

	{name: "%pre", sections: install("c-pre"), want: `c-pre`},
	{name: "%pretrans", sections: install("c-pretrans"), want: `c-pretrans`},
	{name: "%posttrans", sections: install("c-posttrans"), want: `script`},
	{name: "%postun", sections: remove("c-postun"), want: `c-postun.*script|script.*c-postun`},
	{name: "%preun", sections: remove("c-preun"), want: `c-preun`},
	{name: "%triggerin", sections: install("c-trigger", "c-trigged"), want: `script`},
	{name: "%transfiletriggerin", sections: install("c-filetrigger", "c-trigged"), want: `script`},
	{name: "script whose interpreter is missing", sections: install("c-interpreter"), want: `c-interpreter`},
	{name: "script that is killed", sections: install("c-killed"), want: `c-killed`},
	{name: "%post in an update of another package", sections: install("c-post2"), want: `c-post2`, repo: "[all]\nbaseurl=file://DIR/all\ngpgcheck=0\n"},

	{name: "no such package", sections: install("c-nonsense"), want: `c-nonsense`},
	{name: "too large", sections: install("c-big"), want: `(?i)more space`},
	{name: "remove a version that is not there", sections: remove("c-eq=9.9"), want: `not installed: c-eq=9\.9`},
	{name: "remove a pattern that nothing has", sections: remove("c-nonsense*"), want: `not installed: c-nonsense\*`},
	{name: "update that cannot be made", sections: update("c-held"), want: `does-not-exist|not installed: c-held`, repo: "[all]\nbaseurl=file://DIR/repo-2.0\ngpgcheck=0\n"},
	{name: "update to a version that is not there", sections: update("c-eq=9.9"), want: `c-eq`},
	{name: "group of a name that is not there", sections: install("@c-nonsense"), want: `c-nonsense`, only: notTDNF},
	{name: "group with tdnf", planned: true, sections: install("@c-group"), want: `@c-group: tdnf knows no groups`, only: (*conformance).isTDNF},

	{name: "key of the image", planned: true, sections: install("c-one"), want: `(?s)x\.repo:3: .*/usr/share/c-plain on the build host.*file\+chroot:///usr/share/c-plain`,
		repo: "[all]\nbaseurl=file://DIR/all\ngpgkey=file:///usr/share/c-plain\n"},
	{name: "two of one name in a file", planned: true, sections: install("c-one"), want: `x\.repo:3: \[a\] is there already, in line 1`, repo: "[a]\nbaseurl=http://x\n[a]\nbaseurl=http://y\n"},
	{name: "no address", planned: true, sections: install("c-one"), want: `x\.repo:1: \[a\] has no baseurl`, repo: "[a]\nname=x\n"},
	{name: "nothing that is enabled", planned: true, sections: install("c-one"), want: `no repository that is enabled`, repo: "[a]\nbaseurl=http://x\nenabled=0\n"},
	{name: "folder that is not there", planned: true, sections: install("c-one"), want: `x\.repo:2: .*/no/such/42/folder|/no/such/\S+/folder`, repo: "[a]\nbaseurl=file:///no/such/$releasever/folder\n"},
	{name: "empty file", planned: true, sections: install("c-one"), want: `there is no repository in this file`, repo: "# nothing\n"},
}

// choice is a run that has to install a package of a certain version.
type choice struct {
	name  string
	wish  string
	gives func(c *conformance) string
	repos []string // texts of .repo files, or a version for its folder
}

func always(gives string) func(*conformance) string {
	return func(*conformance) string { return gives }
}

var choices = []choice{
	{"priorities inside one file", "c-prio", always("c-prio=1.0"),
		[]string{"[new]\nbaseurl=file://DIR/repo-2.0\ngpgcheck=0\npriority=20\n[old]\nbaseurl=file://DIR/repo-1.0\ngpgcheck=0\npriority=10\n"}},
	{"priority against none", "c-prio", func(c *conformance) string {
		if c.isTDNF() { // which takes 50 where dnf takes 99
			return "c-prio=1.0"
		}
		return "c-prio=2.0"
	}, []string{"[new]\nbaseurl=file://DIR/repo-2.0\ngpgcheck=0\npriority=60\n[old]\nbaseurl=file://DIR/repo-1.0\ngpgcheck=0\n"}},
	{"later source before earlier", "c-prio", always("c-prio=1.0"), []string{"2.0", "1.0"}},
	{"later source whose priority is worse", "c-prio", always("c-prio=1.0"), []string{"[a]\nbaseurl=file://DIR/repo-2.0\ngpgcheck=0\npriority=1\n", "[b]\nbaseurl=file://DIR/repo-1.0\ngpgcheck=0\npriority=99\n"}},
	{"two sources of one name", "c-trigged", always("c-trigged=1.0"), []string{"[a]\nbaseurl=file://DIR/repo-1.0\ngpgcheck=0\n", "[a]\nbaseurl=file://DIR/repo-2.0\ngpgcheck=0\n"}},
	{"folder named by release", "c-trigged", always("c-trigged=1.0"), []string{"[a]\nbaseurl=file://DIR/release-$releasever\ngpgcheck=0\n"}},
	{"a repository that is off is not missed", "c-trigged", always("c-trigged=1.0"), []string{"[a]\nbaseurl=file://DIR/repo-1.0\ngpgcheck=0\n[down]\nbaseurl=http://127.0.0.1:9/\nenabled=0\n"}},
	{"over the network", "c-trigged", always("c-trigged=1.0"), []string{"[a]\nbaseurl=URL/good\ngpgcheck=0\n"}},
	{"one that is down beside its mirror", "c-trigged", always("c-trigged=1.0"), []string{"[a]\nbaseurl=http://127.0.0.1:9/ URL/good\ngpgcheck=0\n"}},
}

// chooses runs one of them.
func (c *conformance) chooses(t *testing.T, f choice) {
	args := []string{"--disable-base-image-rpm-repos", "--package-cache-dir", filepath.Join(c.dir, "cache")}
	for _, r := range f.repos {
		source := filepath.Join(c.packages, r)
		if strings.HasPrefix(r, "[") {
			source = c.repo(t, serve(t, r, c.packages))
		}
		args = append(args, "--rpm-source", source)
	}
	customize(t, c.image, packageConfig(install(f.wish), f.gives(c)), filepath.Join(t.TempDir(), "out.raw"), "raw", args...)
}

// repeats installs from servers that come one after the other and share a cache of packages. Of each it
// says whether the run is to succeed.
func (c *conformance) repeats(t *testing.T, places ...string) {
	cache := filepath.Join(t.TempDir(), "cache")
	for _, place := range places {
		place, works := strings.CutSuffix(place, " works")
		source := c.repo(t, serve(t, "[a]\nbaseurl=URL/"+place+"\ngpgcheck=0\n", c.packages))
		status, text := run(t, "--rpm-source", source, "--disable-base-image-rpm-repos", "--build-dir", t.TempDir(), "--image-file", c.image,
			"--config-file", writeConfig(t, packageConfig(install("c-trigged"), "c-trigged=1.0")), "--output", "raw="+filepath.Join(t.TempDir(), "x.raw"),
			"--package-cache-dir", cache)
		if (status == 0) != works {
			t.Errorf("%s: exit %d\n%s", place, status, text)
		}
	}
}

// serve starts a server for the places that begin with URL in a .repo file, each of which has a fault.
func serve(t *testing.T, text, dir string) string {
	if !strings.Contains(text, "URL/") {
		return text
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		place := strings.Split(r.URL.Path, "/")[1]
		data, err := os.ReadFile(filepath.Join(dir, "all", rest))
		isIndex, isPackage := strings.Contains(rest, "primary.xml"), strings.HasSuffix(rest, ".rpm")
		switch {
		case place == "badsignature" && strings.HasSuffix(rest, ".asc"):
			data, err = []byte("-----BEGIN PGP SIGNATURE-----\n\nnonsense\n-----END PGP SIGNATURE-----\n"), nil
		case err != nil, place == "nothing", place == "missing" && isPackage:
			http.NotFound(w, r)
			return
		case place == "badindex" && isIndex, place == "damaged" && isPackage:
			data[len(data)/2] ^= 0xff
		case place == "short" && isPackage:
			data = data[:len(data)/2]
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	return strings.ReplaceAll(text, "URL", server.URL)
}
