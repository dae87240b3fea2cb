//go:build root

package probe

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/image"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/test/fixture"
)

// subject is a package manager in a real image. One more is a line here.
type subject struct {
	manager string // that must be found
	image   string
	prepare func(t *testing.T, m *machine.Machine) // makes the manager the image's
	full    bool                                   // not in every run of the tests
	has     string                                 // package of the image that no source has; empty for bash
}

var subjects = map[string]subject{
	"apt":        {manager: "apt", image: "debian12-efi"},
	"tdnf 3.5.8": {manager: "tdnf", image: "azl3"},
	"tdnf 3.5.2": {manager: "tdnf", image: "mariner2", full: true},
	"dnf 4":      {manager: "dnf", image: "azl3", prepare: onlyDNF, full: true},
	"dnf5":       {manager: "dnf5", image: "dnf5", full: true, has: "fedora-release"},
}

// common are the packages of the suite, in the words of Debian; the others get them translated.
var common = []pkg{
	{control: "plain"},
	{control: "plain2\nDepends: plain"},
	{control: "multi\nVersion: 1.0"},
	{control: "multi\nVersion: 2.0"},
	{control: "impl\nProvides: virtual"},
	{control: "plug-a"},
	{control: "plug-b"},
	{control: "nowhere\nDepends: missing-thing"},
	{control: "clash\nConflicts: plain"},
	{control: "bad-post", scripts: map[string]string{"postinst": "echo the reason it fails; exit 3"}},
	{control: "bad-pre", scripts: map[string]string{"preinst": "echo not on this machine; exit 4"}},
	{control: "bad-rm", scripts: map[string]string{"prerm": "echo it stays; exit 5"}},
	{control: "ships-key", files: map[string]string{"etc/ssh/ssh_host_fixed_key": "mine"}},
	{control: "makes-identity", scripts: map[string]string{
		"postinst": "mkdir -p /etc/ssh; touch /etc/ssh/ssh_host_made_key; echo 0123456789abcdef0123456789abcdef > /etc/machine-id; echo x > /var/lib/systemd/random-seed",
	}},
	{control: "leaves-daemon", scripts: map[string]string{"postinst": "setsid sleep 1000 </dev/null >/dev/null 2>&1 & exit 0"}},
}

// there stands for a package that the image has: on those with rpm, one that names no vendor.
const there = "THERE"

// jobs are what every manager must do alike. Refused is a pattern of what is said, when planning or after that.
var jobs = map[string]struct {
	conformance
	refused string
}{
	"several at once": {conformance: conformance{
		first: []string{"plug-a", "plug-b", "multi=1.0"}, remove: []string{"plug-*"}, install: []string{"plain2", "virtual"}, update: []string{"multi"},
		has: []string{"plain", "plain2", "impl", "multi=2.0"}, hasNot: []string{"plug-a", "plug-b"}, sample: true,
	}},
	"misspelled":            {conformance: conformance{install: []string{"plaim"}, sample: true}, refused: `plaim`},
	"installed already":     {conformance: conformance{install: []string{there}, has: []string{there}, sample: true}},
	"newest":                {conformance: conformance{install: []string{"multi"}, has: []string{"multi=2.0"}}},
	"older by its number":   {conformance: conformance{install: []string{"multi=1.0"}, has: []string{"multi=1.0"}}},
	"no such version":       {conformance: conformance{install: []string{"multi=3.0"}}, refused: `multi`},
	"pattern":               {conformance: conformance{install: []string{"plug-*"}, has: []string{"plug-a", "plug-b"}}},
	"pattern of nothing":    {conformance: conformance{install: []string{"plugg-*"}}, refused: `plugg-\*`},
	"unsatisfiable":         {conformance: conformance{install: []string{"nowhere"}}, refused: `missing-thing`},
	"conflict":              {conformance: conformance{install: []string{"plain", "clash"}}, refused: `clash`},
	"failing before":        {conformance: conformance{install: []string{"bad-pre"}}, refused: `bad-pre|not on this machine`},
	"failing after":         {conformance: conformance{install: []string{"bad-post"}}, refused: `bad-post|the reason it fails`},
	"failing to go":         {conformance: conformance{first: []string{"bad-rm"}, remove: []string{"bad-rm"}}, refused: `bad-rm|it stays`},
	"update all":            {conformance: conformance{first: []string{"multi=1.0"}, all: true, has: []string{"multi=2.0"}}},
	"update of the absent":  {conformance: conformance{update: []string{"multi"}}, refused: `not installed.*multi`},
	"remove":                {conformance: conformance{first: []string{"plain2"}, remove: []string{"plain"}, hasNot: []string{"plain", "plain2"}}},
	"remove what is absent": {conformance: conformance{remove: []string{"plain"}}, refused: `not installed: plain`},
	"remove and install":    {conformance: conformance{first: []string{"plain"}, remove: []string{"plain"}, install: []string{"clash"}, has: []string{"clash"}, hasNot: []string{"plain"}}},
	"key that is shipped":   {conformance: conformance{install: []string{"ships-key"}, want: map[string]string{"/etc/ssh/ssh_host_fixed_key": "mine"}}},
	"identity": {conformance: conformance{install: []string{"makes-identity"}, want: map[string]string{
		"/etc/ssh/ssh_host_made_key": "absent", "/var/lib/systemd/random-seed": "absent",
	}}},
	"a daemon stays": {conformance: conformance{install: []string{"leaves-daemon"}, has: []string{"leaves-daemon"}}},
}

// TestManagersConform has every manager do every job on its real image, with packages from a folder.
func TestManagersConform(t *testing.T) {
	full := os.Getenv("FULL") != ""
	rpms, debs := t.TempDir(), t.TempDir()
	buildRPMs(t, rpms, common)
	for _, p := range common {
		deb, control := p.build()
		must(t, os.WriteFile(filepath.Join(debs, field(control, "Package")+"_"+field(control, "Version")+".deb"), deb, 0o644))
	}
	for name, s := range subjects {
		if s.full && !full {
			continue
		}
		t.Run(name, func(t *testing.T) {
			lower := mounted(t, s.image)
			if s.prepare != nil {
				m := over(t, lower, "", nil)
				s.prepare(t, m)
				lower = m.Root.Dir()
			}
			for job, c := range jobs {
				if c.sample || full {
					t.Run(job, func(t *testing.T) {
						m := over(t, lower, "", nil)
						if m.Facts.PackageManager != s.manager {
							t.Fatalf("found %s, want %s", m.Facts.PackageManager, s.manager)
						}
						folder := map[pkgmgr.Format]string{pkgmgr.Deb: debs, pkgmgr.RPM: rpms}[Of(m.Facts).Format()]
						if slices.Contains(c.has, there) {
							c.install, c.has = []string{cmp.Or(s.has, "bash")}, []string{cmp.Or(s.has, "bash")}
						}
						c.onFolder(t, m, folder, c.refused)
					})
				}
			}
		})
	}
}

// onFolder does the job with packages from a folder of the host, and asks the manager's database about it.
func (c conformance) onFolder(t *testing.T, m *machine.Machine, folder, refused string) {
	o := pkgmgr.Options{Sources: []pkgmgr.Source{{Path: folder, Kind: pkgmgr.PackageDir}}, NoBaseRepos: true, Indexes: &pkgmgr.Indexes{}}
	id, _ := m.Root.ReadFile("/etc/machine-id")
	if len(c.first) > 0 {
		must(t, session(t.Context(), m, o, install(t.Context(), c.first...)))
	}
	said := faults(pkgmgr.Check(t.Context(), m, Of(m.Facts), o, c.install, c.update, c.remove))
	if said == "" {
		if err := session(t.Context(), m, o, func(s *pkgmgr.Session) error { return c.run(t, s) }); err != nil {
			said = err.Error()
		}
	}
	if (refused == "") != (said == "") || !regexp.MustCompile(refused).MatchString(said) {
		t.Fatalf("%q, want %q", said, refused)
	}
	if now, _ := m.Root.ReadFile("/etc/machine-id"); string(now) != string(id) {
		t.Errorf("the machine's identity is %q now", now)
	}
	if m.Root.Exists("/etc/rpm/macros.zz-imagecustomizer") {
		t.Error("macros stay in the image")
	}
	if refused == "" {
		c.look(t, m)
		c.ask(t, m)
	}
}

// ask has the database say what is known of the packages from elsewhere.
func (c conformance) ask(t *testing.T, m *machine.Machine) {
	list, err := Installed(t.Context(), m)
	must(t, err)
	mgr := Of(m.Facts)
	for _, p := range list {
		if !slices.ContainsFunc(common, func(q pkg) bool { return strings.Split(q.control, "\n")[0] == p.Name }) {
			continue
		}
		if p.Version == "" || p.Arch == "" || p.Size <= 0 || p.Vendor != "t <t@example.invalid>" || (p.Release == "") != (mgr.Format() == pkgmgr.Deb) {
			t.Errorf("%+v", p)
		}
		if owner, err := mgr.Owner(t.Context(), m, "/usr/share/"+p.Name); err != nil || owner != p.Name {
			t.Errorf("%s is of %q (%v)", p.Name, owner, err)
		}
	}
	if owner, err := mgr.Owner(t.Context(), m, "/etc/nobodys"); err != nil || owner != "" {
		t.Errorf("a file that is not there is of %q (%v)", owner, err)
	}
}

// onlyDNF gives an image dnf and takes tdnf.
func onlyDNF(t *testing.T, m *machine.Machine) {
	o := pkgmgr.Options{Sources: []pkgmgr.Source{{Path: fixture.Base(t, "repo"), Kind: pkgmgr.PackageDir}}, NoBaseRepos: true}
	must(t, session(t.Context(), m, o, install(t.Context(), "dnf")), m.Root.Remove("/usr/bin/tdnf"))
}

// mounted is the root of a real image, mounted for reading.
func mounted(t *testing.T, name string) string {
	t.Helper()
	file, err := os.Open(fixture.Base(t, name))
	must(t, err)
	t.Cleanup(func() { file.Close() })
	d, err := image.OpenReadOnly(t.Context(), file, t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d.Root.Dir()
}

// tags are the words of RPM for those of Debian.
var tags = map[string]string{"Depends": "Requires", "Provides": "Provides", "Conflicts": "Conflicts", "preinst": "%pre", "postinst": "%post", "prerm": "%preun"}

// buildRPMs makes RPM packages of those, by one spec file a version.
func buildRPMs(t *testing.T, dir string, packages []pkg) {
	t.Helper()
	specs, files := map[string]string{}, map[string]string{}
	for _, p := range packages {
		_, control := p.build()
		name, version := field(control, "Package"), field(control, "Version")
		head, scripts, list := "", "", ""
		for _, tag := range []string{"Depends", "Provides", "Conflicts"} {
			if v := field(control, tag); v != "" {
				head += tags[tag] + ": " + v + "\n"
			}
		}
		for kind, text := range p.scripts {
			scripts += fmt.Sprintf("%s -n %s\n%s\n", tags[kind], name, text)
		}
		for file, text := range p.all() {
			list += "/" + file + "\n"
			files[version] += fmt.Sprintf("mkdir -p %%{buildroot}/%s; printf '%%%%s' '%s' >%%{buildroot}/%s\n", filepath.Dir(file), text, file)
		}
		specs[version] += fmt.Sprintf("%%package -n %s\nSummary: x\nAutoReqProv: no\n%s%%description -n %s\nx\n%s%%files -n %s\n%s", name, head, name, scripts, name, list)
	}
	for _, version := range slices.Sorted(maps.Keys(specs)) {
		text := fmt.Sprintf("Name: all\nVersion: %s\nRelease: 1\nSummary: x\nLicense: x\nVendor: t <t@example.invalid>\nBuildArch: noarch\n%%description\nx\n%%install\n%s\n%s", version, files[version], specs[version])
		spec := filepath.Join(t.TempDir(), "all.spec")
		must(t, os.WriteFile(spec, []byte(text), 0o644))
		cmd := exec.Command("rpmbuild", "-bb", "--quiet", "-D", "_topdir "+t.TempDir(), "-D", "_rpmdir "+dir, "-D", "__os_install_post %{nil}", "-D", "_binary_payload w1.zstdio", spec)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, text)
		}
	}
}
