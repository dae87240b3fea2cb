package system

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// shown is what lies at a path: "nothing", "-> target", or mode and text.
func shown(m *machine.Machine, name string) string {
	fi, err := m.Root.Lstat(name)
	if err != nil {
		return "nothing"
	}
	if fi.Mode()&fs.ModeSymlink != 0 {
		target, _ := m.Root.Readlink(name)
		return "-> " + target
	}
	text, _ := m.Root.ReadFile(name)
	return fmt.Sprintf("%o %s", fi.Mode().Perm(), text)
}

// dnsBefore are resolv.confs that an image may have.
var dnsBefore = map[string]func(m *machine.Machine) error{
	"600 nameserver 1.2.3.4\n": func(m *machine.Machine) error {
		return m.Root.WriteFile(resolvConf, []byte("nameserver 1.2.3.4\n"), 0o600)
	},
	"-> ../run/stub": func(m *machine.Machine) error { return m.Root.Symlink("../run/stub", resolvConf) },
	"nothing":        func(*machine.Machine) error { return nil },
}

// dnsChanges are what a run may do to it, and what lies there in the end; empty stands for what was there.
var dnsChanges = map[string]struct {
	do   func(m *machine.Machine) error
	want string
}{
	"no change": {func(*machine.Machine) error { return nil }, ""},
	"the config's file": {func(m *machine.Machine) error {
		return m.Root.WriteFile(resolvConf, []byte("nameserver 10.20.30.40\n"), 0o644)
	}, "644 nameserver 10.20.30.40\n"},
	"a link": {func(m *machine.Machine) error {
		return replaceBy(m, func() error { return m.Root.Symlink("../run/other", resolvConf) })
	}, "-> ../run/other"},
	"another file with the same text": {func(m *machine.Machine) error {
		time.Sleep(20 * time.Millisecond) // times of files go by ticks
		return m.Root.WriteFile(resolvConf, []byte(HostNameServers()), 0o644)
	}, "644 " + HostNameServers()},
	"removed": {func(m *machine.Machine) error { return m.Root.Remove(resolvConf) }, "nothing"},
	"a new file with another mode": {func(m *machine.Machine) error {
		return replaceBy(m, func() error { return m.Root.WriteFile(resolvConf, []byte("nameserver ::1\n"), 0o640) })
	}, "640 nameserver ::1\n"},
}

func replaceBy(m *machine.Machine, f func() error) error {
	if err := m.Root.Remove(resolvConf); err != nil {
		return err
	}
	return f()
}

// TestDNSIsPutBack: our name servers go away again, and nothing that the run has made does.
func planDNS(packages, scripts bool) (override, refresh, restore plan.Plan) {
	g := &feature.Given{Facts: &machine.Facts{}, Packages: packages, Post: scripts}
	n := &NameServers{}
	override, _ = n.PlanOverride(g)
	refresh, _ = n.PlanRefresh(g)
	restore, _ = n.PlanRestore(g)
	return override, refresh, restore
}

func TestDNSIsPutBack(t *testing.T) {
	t.Parallel()
	for before, make := range dnsBefore {
		for change, c := range dnsChanges {
			m := featuretest.Tree(t, map[string]string{"etc/x": ""})
			override, refresh, restore := planDNS(true, true)
			if err := make(m); err != nil {
				t.Fatal(err)
			}
			featuretest.MustRun(t, m, override...)
			if got := shown(m, resolvConf); got != "644 "+HostNameServers() {
				t.Errorf("%s: during the run there is %q", before, got)
			}
			if err := c.do(m); err != nil {
				t.Fatal(err)
			}
			featuretest.MustRun(t, m, refresh...)
			featuretest.MustRun(t, m, restore...)
			want := c.want
			if want == "" {
				want = before
			}
			if got := shown(m, resolvConf); got != want || shown(m, savedConf) != "nothing" {
				t.Errorf("%s, %s: %q instead of %q, beside it %q", before, change, got, want, shown(m, savedConf))
			}
		}
	}
}

// TestDNSOfAnInstalledResolver: scripts have name servers although a package has put its own link there, and
// the copy that it made of the file that it found is of the image's own.
func TestDNSOfAnInstalledResolver(t *testing.T) {
	t.Parallel()
	for before, make := range dnsBefore {
		const backup = "/etc/.resolv.conf.systemd-resolved.bak"
		m := featuretest.Tree(t, map[string]string{"etc/x": "", "etc/resolvconf/resolv.conf.d/original": "mine"})
		override, refresh, restore := planDNS(true, true)
		if err := make(m); err != nil {
			t.Fatal(err)
		}
		featuretest.MustRun(t, m, override...)
		if err := m.Root.WriteFile(backup, []byte(HostNameServers()), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := replaceBy(m, func() error { return m.Root.Symlink("../run/systemd/resolve/stub-resolv.conf", resolvConf) }); err != nil {
			t.Fatal(err)
		}
		featuretest.MustRun(t, m, refresh...)
		if got := shown(m, resolvConf); got != "644 "+HostNameServers() {
			t.Errorf("%s: scripts see %q", before, got)
		}
		featuretest.MustRun(t, m, restore...)
		if got := shown(m, resolvConf); got != "-> ../run/systemd/resolve/stub-resolv.conf" {
			t.Errorf("%s: %q", before, got)
		}
		if got := shown(m, backup); HostNameServers() != "" && strings.HasSuffix(got, HostNameServers()) {
			t.Errorf("%s: the copy is %q", before, got)
		}
		if got := shown(m, "/etc/resolvconf/resolv.conf.d/original"); got != "644 mine" {
			t.Errorf("a file of the image became %q", got)
		}
	}
}

// TestDNSOfAnImmutableFile needs root, and a filesystem that has the flag.
func TestDNSOfAnImmutableFile(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root makes files immutable; the tests of the root ring run as root")
	}
	m := featuretest.Tree(t, map[string]string{"etc/resolv.conf": "nameserver 1.2.3.4\n"})
	const immutable = 0x10
	if err := m.Root.Fix(resolvConf, immutable); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = m.Root.Lift(resolvConf) })
	if err := m.Root.WriteFile(resolvConf, nil, 0o644); err == nil || !strings.Contains(err.Error(), "chattr -i") {
		t.Errorf("writing an immutable file: %v", err)
	}
	override, _, restore := planDNS(true, false)
	featuretest.MustRun(t, m, override...)
	featuretest.MustRun(t, m, restore...)
	if flags, err := m.Root.Lift(resolvConf); err != nil || flags != immutable || shown(m, resolvConf) != "644 nameserver 1.2.3.4\n" {
		t.Errorf("flags %#x, %v, %q", flags, err, shown(m, resolvConf))
	}
}
