//go:build root

package probe

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
)

// archive is what the conformance suite installs from.
var archive = []pkg{
	{control: "plain"},
	{control: "plain2\nDepends: plain"},
	{control: "suggests\nRecommends: extra\nSuggests: plain2"},
	{control: "extra"},
	{control: "multi\nVersion: 1.0"},
	{control: "multi\nVersion: 2.0"},
	{control: "epoch\nVersion: 1:3.0-1"},
	{control: "native\nArchitecture: amd64"},
	{control: "mta-impl\nProvides: virtual-mta, other-virtual (= 3.0)"},
	{control: "libold1t64\nProvides: libold1 (= 1.0)\nReplaces: libold1\nBreaks: libold1 (<< 1.0)"},
	{control: "app\nDepends: libold1 (>= 1.0), virtual-mta"},
	{control: "plug-a"},
	{control: "plug-b"},
	{control: "nowhere\nDepends: missing-thing"},
	{control: "clash\nConflicts: plain"},
	{control: "bad-post", scripts: map[string]string{"postinst": "echo the reason it fails; exit 3"}},
	{control: "bad-pre", scripts: map[string]string{"preinst": "echo not on this machine; exit 4"}},
	{control: "bad-rm", scripts: map[string]string{"prerm": "echo it stays; exit 5"}},
	{control: "huge\nInstalled-Size: 99999999"},
	{control: "conf", files: map[string]string{"etc/conf.test": "from the package\n"}, scripts: map[string]string{"conffiles": ""}},
	{control: "asks", scripts: map[string]string{"postinst": ". /usr/share/debconf/confmodule; db_get asks/it; echo \"$RET\" > /etc/answer", "templates": ""}},
	{control: "starter", scripts: map[string]string{"postinst": "deb-systemd-invoke start ssh.service; invoke-rc.d ssh start; exit 0"}},
	{control: "policy-writer", scripts: map[string]string{"postinst": "rm -f /usr/sbin/policy-rc.d; echo written > /usr/sbin/policy-rc.d"}},
	{control: "policy-truncates", scripts: map[string]string{"postinst": "echo written > /usr/sbin/policy-rc.d"}},
	{control: "policy-links", scripts: map[string]string{"postinst": "ln -sf /etc/hostname /usr/sbin/policy-rc.d"}},
	{control: "policy-ships", files: map[string]string{"usr/sbin/policy-rc.d": "shipped"}},
	{control: "policy-diverts", files: map[string]string{"usr/sbin/policy-rc.d": "diverting"}, scripts: map[string]string{
		"preinst": "dpkg-divert --package policy-diverts --add --rename --divert /usr/sbin/policy-rc.d.distrib /usr/sbin/policy-rc.d",
	}},
	{control: "policy-removes", scripts: map[string]string{"postinst": "rm -f /usr/sbin/policy-rc.d"}},
	{control: "ships-key", files: map[string]string{"etc/ssh/ssh_host_fixed_key": "mine"}},
	{control: "makes-identity", scripts: map[string]string{
		"postinst": "touch /etc/ssh/ssh_host_made_key; echo 0123456789abcdef0123456789abcdef > /etc/machine-id; echo x > /var/lib/systemd/random-seed",
	}},
	{control: "leaves-daemon", scripts: map[string]string{"postinst": "setsid sleep 1000 </dev/null >/dev/null 2>&1 & exit 0"}},
	{control: "zz-spare"},
}

// conformance is one job of apt on a real image.
type conformance struct {
	install, update, remove []string
	all                     bool
	first                   []string          // installed in a session before
	files                   map[string]string // in the image, besides
	debconf                 []string
	fault                   string            // found when planning
	fails                   string            // found when carried out, though planning found nothing
	want                    map[string]string // content of files afterwards; "absent" for none
	has, hasNot             []string          // packages
	sample                  bool              // runs in every test
}

const policy = "/usr/sbin/policy-rc.d"

var conformances = map[string]conformance{
	"plain":                          {install: []string{"plain"}, has: []string{"plain"}, want: map[string]string{policy: "absent", pkgmgr.Work: "absent"}},
	"no recommends":                  {install: []string{"suggests"}, has: []string{"suggests"}, hasNot: []string{"extra", "plain2"}},
	"virtual":                        {install: []string{"virtual-mta"}, has: []string{"mta-impl"}, sample: true},
	"virtual with a version":         {install: []string{"other-virtual"}, has: []string{"mta-impl"}},
	"renamed":                        {install: []string{"libold1"}, has: []string{"libold1t64"}, sample: true},
	"needs a renamed one":            {install: []string{"app"}, has: []string{"app", "libold1t64", "mta-impl"}},
	"name=version with an epoch":     {install: []string{"epoch=1:3.0-1"}, has: []string{"epoch=1:3.0-1"}},
	"version that is not there":      {install: []string{"multi=3.0"}, fault: "multi=3.0: the sources have multi only as 1.0 (all), 2.0 (all)"},
	"older than installed":           {first: []string{"multi"}, install: []string{"multi=1.0"}, has: []string{"multi=1.0"}},
	"name/suite":                     {install: []string{"plain/stable"}, has: []string{"plain"}},
	"suite that is not there":        {install: []string{"plain/backports"}, fault: "plain/backports: no source is the release backports"},
	"name:arch":                      {install: []string{"native:amd64", "plain:amd64"}, has: []string{"native", "plain"}},
	"foreign architecture":           {install: []string{"native:i386"}, fault: "native:i386"},
	"pattern of nothing":             {install: []string{"plugg-*"}, fault: "no source has a package plugg-*"},
	"misspelled":                     {install: []string{"plaim", "plain", "extr"}, fault: "no source has a package plaim (did you mean \"plain\"?); no source has a package extr (did you mean \"extra\"?)", sample: true},
	"trailing minus":                 {install: []string{"plain-"}, fault: "apt would take plain- for an order to remove plain"},
	"file":                           {install: []string{"./plain.deb"}, fault: "./plain.deb is a file"},
	"installed but in no source":     {install: []string{"less"}, has: []string{"less"}},
	"failing postinst":               {install: []string{"bad-post"}, fails: "the reason it fails"},
	"failing preinst":                {install: []string{"bad-pre"}, fails: "not on this machine"},
	"no room":                        {install: []string{"huge"}, fails: "storage.resizeDisk"},
	"update of what is absent":       {update: []string{"multi"}, fault: "not installed: multi"},
	"update of what comes":           {install: []string{"multi"}, update: []string{"multi"}, has: []string{"multi=2.0"}},
	"remove what nothing needs":      {first: []string{"plain2"}, remove: []string{"plain2"}, hasNot: []string{"plain", "plain2"}},
	"remove what is absent":          {remove: []string{"plain", "bsh"}, fault: "not installed: plain; not installed: bsh (did you mean \"bash\"?)"},
	"remove a virtual one":           {first: []string{"mta-impl"}, remove: []string{"virtual-mta"}, fault: "virtual-mta is not the name of an installed package (remove mta-impl, which stands for it)"},
	"services do not start":          {install: []string{"starter"}, has: []string{"starter"}, want: map[string]string{policy: "absent"}},
	"policy of the image":            {files: map[string]string{policy: "mine"}, install: []string{"starter"}, want: map[string]string{policy: "mine"}},
	"policy written":                 {files: map[string]string{policy: "mine"}, install: []string{"policy-writer"}, want: map[string]string{policy: "written\n"}, sample: true},
	"policy written over":            {install: []string{"policy-truncates"}, want: map[string]string{policy: "written\n"}},
	"policy a link":                  {install: []string{"policy-links"}, want: map[string]string{policy: "debian\n"}},
	"policy shipped":                 {install: []string{"policy-ships"}, want: map[string]string{policy: "shipped"}},
	"policy diverted":                {files: map[string]string{policy: "mine"}, install: []string{"policy-diverts"}, want: map[string]string{policy: "diverting", policy + ".distrib": "mine"}},
	"policy diverted where none was": {install: []string{"policy-diverts"}, want: map[string]string{policy: "diverting", policy + ".distrib": "absent"}},
	"policy removed":                 {files: map[string]string{policy: "mine"}, install: []string{"policy-removes"}, want: map[string]string{policy: "absent"}},
	"identity": {install: []string{"makes-identity"}, want: map[string]string{
		"/etc/ssh/ssh_host_made_key": "absent", "/etc/machine-id": "", "/var/lib/systemd/random-seed": "absent", "/var/log/apt/history.log": "absent",
	}, sample: true},
	"source on a CD":      {files: map[string]string{"/etc/apt/sources.list.d/cd.list": "deb cdrom:[Debian 12 _Bookworm_]/ bookworm main\ndeb file:/media/usb stable main\n"}, install: []string{"plain"}, has: []string{"plain"}, sample: true},
	"source that is down": {files: map[string]string{"/etc/apt/sources.list.d/down.list": "deb http://127.0.0.1:9/ stable main\n"}, install: []string{"plain"}, fails: "/etc/apt/sources.list.d/down.list:1 (http://127.0.0.1:9/); --disable-base-image-rpm-repos"},
	"dnf beside apt":      {files: map[string]string{"/usr/bin/dnf": "#!/bin/sh\nexit 1\n", "/var/lib/rpm/rpmdb.sqlite": "x"}, install: []string{"plain"}, has: []string{"plain"}, sample: true},
	"hold":                {first: []string{"multi=1.0"}, files: map[string]string{"/etc/apt/preferences.d/hold": "Package: multi\nPin: version 1.0\nPin-Priority: 1001\n"}, all: true, has: []string{"multi=1.0"}},
}

// TestAptConforms does every job on the real apt of a real image.
func TestAptConforms(t *testing.T) {
	lower, cache := debian(t), t.TempDir()
	repo := serve(t, archive...)
	for name, c := range conformances {
		if !c.sample && os.Getenv("FULL") == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			files := map[string]string{signingKey: key(t), "/etc/apt/sources.list": repo.source()}
			for n, text := range c.files {
				files[n] = text
			}
			m := over(t, lower, cache, files)
			if len(c.first) > 0 {
				must(t, session(t.Context(), m, pkgmgr.Options{}, install(t.Context(), c.first...)))
			}
			o := pkgmgr.Options{Debconf: c.debconf, Indexes: &pkgmgr.Indexes{}}
			if got := faults(pkgmgr.Check(t.Context(), m, Of(m.Facts), o, c.install, c.update, c.remove)); got != "" || c.fault != "" {
				if c.fault == "" || !strings.Contains(got, c.fault) {
					t.Errorf("planning found %q, want %q", got, c.fault)
				}
				return
			}
			err := session(t.Context(), m, o, func(s *pkgmgr.Session) error { return c.run(t, s) })
			if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Fatalf("%v, want %q", err, c.fails)
			}
			if c.fails == "" {
				c.look(t, m)
			}
		})
	}
}

func faults(list []pkgmgr.Fault) string {
	var all []string
	for _, f := range list {
		text := f.String()
		if f.Hint != "" {
			text += " (" + f.Hint + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

func (c conformance) run(t *testing.T, s *pkgmgr.Session) error {
	if len(c.remove) > 0 {
		if err := s.Remove(t.Context(), c.remove); err != nil {
			return err
		}
	}
	if len(c.install)+len(c.update) > 0 || c.all {
		if err := s.Refresh(t.Context()); err != nil {
			return err
		}
	}
	if c.all {
		if err := s.UpdateAll(t.Context()); err != nil {
			return err
		}
	}
	if len(c.install) > 0 {
		if err := s.Install(t.Context(), c.install); err != nil {
			return err
		}
	}
	if len(c.update) > 0 {
		return s.Update(t.Context(), c.update)
	}
	return nil
}

func (c conformance) look(t *testing.T, m *machine.Machine) {
	for _, n := range c.has {
		if !has(t, m, n) {
			t.Errorf("%s is not installed", n)
		}
	}
	for _, n := range c.hasNot {
		if has(t, m, n) {
			t.Errorf("%s is installed", n)
		}
	}
	want := map[string]string{policy + ".imagecustomizer": "absent"}
	for name, text := range c.want {
		want[name] = text
	}
	for name, text := range want {
		got, err := m.Root.ReadFile(name)
		switch {
		case text == "absent" && (errors.Is(err, os.ErrNotExist) || m.Root.IsDir(name)):
		case err != nil || string(got) != text:
			t.Errorf("%s: %q (%v), want %q", name, fmt.Sprintf("%.40s", got), err, text)
		}
	}
}

// has asks the database for a package, as name or name=version.
func has(t *testing.T, m *machine.Machine, what string) bool {
	t.Helper()
	list, err := Installed(t.Context(), m)
	must(t, err)
	name, version, _ := strings.Cut(what, "=")
	return slices.ContainsFunc(list, func(p pkgmgr.Package) bool { return p.Name == name && (version == "" || p.Version == version) })
}
