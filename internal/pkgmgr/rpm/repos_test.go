package rpm

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/rootfs"
)

// tree is a machine whose image has these files, and "/usr/bin/PROGRAM".
func tree(t *testing.T, program string, files map[string]string) *machine.Machine {
	t.Helper()
	dir := t.TempDir()
	files["/usr/bin/"+program] = "#!/bin/sh\n"
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	root, err := rootfs.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &machine.Machine{Root: root, Facts: &machine.Facts{PackageManager: program, Arch: "x86_64", OSRelease: map[string]string{"VERSION_ID": "9.3"}}}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func readRepos(m *machine.Machine, o pkgmgr.Options) *repoSet {
	return map[string]*Manager{"tdnf": TDNF, "dnf": DNF, "dnf5": DNF5}[m.Facts.PackageManager].readRepos(m, o)
}

func host(t *testing.T, text string) pkgmgr.Source {
	return pkgmgr.Source{Path: write(t, filepath.Join(t.TempDir(), "host.repo"), text), Kind: pkgmgr.RepoFile}
}

func (r *repoSet) named(t *testing.T, id string) *section {
	t.Helper()
	for _, s := range r.sections {
		if s.id == id {
			return s
		}
	}
	t.Fatalf("no repository %s", id)
	return nil
}

func noFaults(t *testing.T, r *repoSet) {
	t.Helper()
	if len(r.faults) > 0 {
		t.Fatalf("faults: %v", r.faults)
	}
}

func TestEverySpellingOfARepoFileIsRead(t *testing.T) {
	t.Parallel()
	src := host(t, "\ufeff[main]\r\ngpgcheck=0\r\n[a] # comment\r\nname : A\r\nbaseurl: http://a/x\r\n  http://b/y\r\n; note\r\n[b]\r\nbaseurl=http://c/?a=b:c\r\nenabled=no\r\n")
	r := readRepos(tree(t, "dnf", map[string]string{}), pkgmgr.Options{Sources: []pkgmgr.Source{src}})
	noFaults(t, r)
	if got := r.named(t, "a").get("baseurl"); got != "http://a/x http://b/y" {
		t.Errorf("baseurl of a: %q", got)
	}
	if got := r.named(t, "b").get("baseurl"); got != "http://c/?a=b:c" {
		t.Errorf("baseurl of b: %q", got)
	}
	if len(r.sections) != 2 || len(r.enabled()) != 1 {
		t.Errorf("%d sections, %d enabled", len(r.sections), len(r.enabled()))
	}
}

// TestOrderOfRepositories has two sources and the image's repositories, each with two that have an order.
func TestOrderOfRepositories(t *testing.T) {
	t.Parallel()
	pair := func(a, b string) string {
		return "[" + a + "]\nbaseurl=http://x\npriority=70\n[" + b + "]\nbaseurl=http://x\n[" + a + "-10]\nbaseurl=http://x\npriority=10\n"
	}
	for program, want := range map[string][]string{
		"tdnf": {"l-10", "last", "l70", "f-10", "first", "f70", "i-10", "image", "i70"},
		"dnf":  {"l-10", "l70", "last", "f-10", "f70", "first", "i-10", "i70", "image"},
	} {
		m := tree(t, program, map[string]string{"/etc/yum.repos.d/x.repo": strings.ReplaceAll(pair("i70", "image"), "]\n", "]\nenabled=1\n")})
		first, last := host(t, pair("f70", "first")), host(t, pair("l70", "last"))
		r := readRepos(m, pkgmgr.Options{Sources: []pkgmgr.Source{first, last}})
		noFaults(t, r)
		number := func(s *section) int {
			n, err := strconv.Atoi(s.get("priority"))
			if err != nil || s.get("skip_if_unavailable") != "0" {
				t.Errorf("%s: priority %q, may be skipped %q", s.id, s.get("priority"), s.get("skip_if_unavailable"))
			}
			return n
		}
		slices.SortStableFunc(r.sections, func(a, b *section) int { return number(a) - number(b) })
		var got []string
		for _, s := range r.sections {
			got = append(got, strings.Replace(s.id, "70-10", "-10", 1))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", program, got, want)
		}
	}
}

func TestRepositoriesOfOneNameAreKeptApart(t *testing.T) {
	t.Parallel()
	one := "[base]\nbaseurl=http://x\nenabled=1\n"
	m := tree(t, "tdnf", map[string]string{"/etc/yum.repos.d/a.repo": one, "/etc/yum.repos.d/b.repo": one})
	r := readRepos(m, pkgmgr.Options{Sources: []pkgmgr.Source{host(t, one)}})
	noFaults(t, r)
	var ids []string
	for _, s := range r.sections {
		ids = append(ids, s.id)
	}
	if got := strings.Join(ids, " "); got != "base-3 base-2 base" {
		t.Errorf("names: %s", got)
	}
}

func TestRepositoryFoldersOfEachManager(t *testing.T) {
	t.Parallel()
	files := func() map[string]string {
		all := map[string]string{"/etc/tdnf/tdnf.conf": "[main]\nrepodir=/own/tdnf\n"}
		for i, dir := range []string{"/etc/yum.repos.d", "/etc/distro.repos.d", "/usr/share/dnf5/repos.d", "/own/tdnf", "/own/dnf"} {
			all[dir+"/x.repo"] = "[r" + string(rune('0'+i)) + "]\nbaseurl=http://x\nenabled=1\n"
		}
		return all
	}
	for _, c := range []struct{ program, conf, want string }{
		{"tdnf", "", "r3"},
		{"dnf", "", "r0 r1"},
		{"dnf5", "", "r0 r1 r2"},
		{"dnf", "[main]\nreposdir=/own/dnf, /etc/yum.repos.d\n", "r4 r0"},
	} {
		f := files()
		if c.conf != "" {
			f["/etc/dnf/dnf.conf"] = c.conf
		}
		var ids []string
		for _, s := range readRepos(tree(t, c.program, f), pkgmgr.Options{}).sections {
			ids = append(ids, s.id)
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%s: read %s, want %s", c.program, got, c.want)
		}
	}
}

func TestOverridesOfDNF5(t *testing.T) {
	t.Parallel()
	m := tree(t, "dnf5", map[string]string{
		"/etc/yum.repos.d/x.repo":              "[one]\nbaseurl=http://x\nenabled=0\n[two]\nbaseurl=http://x\n",
		"/etc/dnf/repos.override.d/99-cm.repo": "[on?]\nenabled=1\n[two]\nenabled=0\n",
	})
	r := readRepos(m, pkgmgr.Options{})
	noFaults(t, r)
	if e := r.enabled(); len(e) != 1 || e[0].id != "one" {
		t.Errorf("enabled: %v", e)
	}
}

// TestLocalFiles has every way to name a file.
func TestLocalFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/9/x86_64/repo/a.rpm", "")
	write(t, dir+"/a key", "key")
	m := tree(t, "dnf", map[string]string{"/etc/pki/image.key": "k", "/etc/dnf/vars/stream": "9\n"})
	text := "[a]\nbaseurl=file://" + dir + "/$releasever/${basearch}/repo file:" + dir + "/$stream file://localhost" + dir + "\n" +
		"gpgkey=file://" + dir + "/a%20key file+chroot:///etc/pki/image.key https://keys/x\n" +
		"sslclientkey=" + dir + "/9\n[b]\nbaseurl=file+rel://9/x86_64/repo\n"
	name := write(t, dir+"/x.repo", text)
	r := readRepos(m, pkgmgr.Options{Sources: []pkgmgr.Source{{Path: name, Kind: pkgmgr.RepoFile}}})
	noFaults(t, r)
	var from []string
	for _, s := range r.shown {
		from = append(from, strings.TrimPrefix(s.from, dir))
	}
	if got := strings.Join(from, " "); got != "/9/x86_64/repo /9  /a key /9 /9/x86_64/repo" {
		t.Errorf("shown: %s", got)
	}
	if got := r.named(t, "a").get("gpgkey"); got != "file:///run/imagecustomizer/00-03 file:///etc/pki/image.key https://keys/x" {
		t.Errorf("gpgkey: %s", got)
	}
	if got := r.named(t, "a").get("sslclientkey"); got != "/run/imagecustomizer/00-04" {
		t.Errorf("sslclientkey: %s", got)
	}
}

// TestAllFaultsAtOnceWithTheirLines has one of every kind.
func TestAllFaultsAtOnceWithTheirLines(t *testing.T) {
	t.Parallel()
	m := tree(t, "dnf", map[string]string{
		"/etc/pki/rpm-gpg/KEY":      "k",
		"/etc/yum.repos.d/own.repo": "[own]\nname=without\n[off]\nenabled=0\n",
	})
	src := host(t, "stray\n[a b]\nbaseurl=http://x\n[c]\nbaseurl=http://x\npriority=high\nenabled=maybe\nnonsense\n"+
		"gpgkey=file:///etc/pki/rpm-gpg/KEY file+chroot:///no/such\n[c]\nbaseurl=http://y\n")
	r := readRepos(m, pkgmgr.Options{Sources: []pkgmgr.Source{src, {Path: t.TempDir(), Kind: pkgmgr.PackageDir}, {Path: "/x.list", Kind: pkgmgr.AptFile}}})
	var got []string
	for _, f := range r.faults {
		got = append(got, strings.ReplaceAll(f.String(), src.Path, "FILE")+" | "+f.Hint)
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{
		"/etc/yum.repos.d/own.repo of the image:1: [own] has no baseurl", "FILE:1: ", "FILE:2: [a b] is not a name", "FILE:6: [c] priority",
		"FILE:7: [c] enabled", "FILE:8: ", "FILE:9: [c] gpgkey: there is no /etc/pki/rpm-gpg/KEY on the build host",
		"write file+chroot:///etc/pki/rpm-gpg/KEY", "there is no /no/such in the image", "FILE:10: [c] is there already, in line 4",
		"there is no .rpm file in this folder", "/x.list: this is a source for apt",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
	if strings.Contains(all, "[off]") {
		t.Error("a repository that is off was checked")
	}
}

func TestTDNFConfKeepsDownloads(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                 "[main]\nkeepcache=1\n",
		"# c\n[main]\ngpgcheck=1\n":        "# c\n[main]\nkeepcache=1\ngpgcheck=1\n",
		"\ufeff[main]\nkeepcache = 0\na=b": "[main]\nkeepcache=1\na=b\n",
	} {
		if got := withSettings(text, "keepcache=1"); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
