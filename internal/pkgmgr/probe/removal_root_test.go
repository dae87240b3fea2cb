//go:build root

package probe

import (
	"os"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
)

// removalCase is what packages of a real image take along. A fault is a part of what is said when planning.
type removalCase struct {
	remove, install []string
	along           []string // some of those that go along; none do where it is empty
	fault           string
	at              string // the name that is blamed
}

var removals = map[string][]removalCase{
	"apt": {
		{remove: []string{"less"}},
		{remove: []string{"systemd", "systemd-sysv"}, along: []string{"libsystemd-shared", "systemd-resolved"}},
		{remove: []string{"dracut*"}, along: []string{"linux-image-cloud-amd64"}, fault: "removing dracut* would remove linux-image-", at: "dracut*"},
		{remove: []string{"udev"}, install: []string{"less"}, along: []string{"dracut", "linux-image-cloud-amd64"}},
		{remove: []string{"less", "libsystemd-shared"}, fault: "removing libsystemd-shared would remove systemd-sysv (the image's init) too", at: "libsystemd-shared"},
		{remove: []string{"less", "libc6"}, fault: "apt refuses to remove libc6: ", at: "libc6"},
		{remove: []string{"libapt-pkg6.0"}, fault: "apt refuses to remove libapt-pkg6.0: ", at: "libapt-pkg6.0"},
		{remove: []string{"plaim"}, fault: "not installed: plaim", at: "plaim"},
	},
	"tdnf 3.5.8": {
		{remove: []string{"grep"}, along: []string{"initramfs"}},
		{remove: []string{"glibc"}, fault: "removing glibc would remove systemd (the image's init), tdnf (the image's package manager), rpm", at: "glibc"},
		{remove: []string{"plaim"}, fault: "not installed: plaim", at: "plaim"},
	},
}

// TestRemovalsTakeAlong asks the managers of real images what goes, and compares what is there before and after.
func TestRemovalsTakeAlong(t *testing.T) {
	for name, list := range removals {
		if subjects[name].full && os.Getenv("FULL") == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			m := over(t, mounted(t, subjects[name].image), "", nil)
			for _, c := range list {
				t.Run(strings.Join(c.remove, " "), func(t *testing.T) { c.look(t, m) })
			}
		})
	}
}

func (c removalCase) look(t *testing.T, m *machine.Machine) {
	before, err := Installed(t.Context(), m)
	must(t, err)
	o := pkgmgr.Options{NoBaseRepos: true, Along: &pkgmgr.Along{}}
	found := pkgmgr.Check(t.Context(), m, Of(m.Facts), o, c.install, nil, c.remove)
	said := faults(found)
	if !strings.Contains(said, c.fault) || (said == "") != (c.fault == "") || len(found) > 0 && found[0].Package != c.at {
		t.Errorf("said %q of %+v, want %q of %s", said, found, c.fault, c.at)
	}
	for _, p := range c.along {
		if !slices.Contains(o.Along.Names, p) {
			t.Errorf("%s does not go: %v", p, o.Along)
		}
	}
	if c.fault == "" && (!o.Along.Known || len(c.along) == 0 && len(o.Along.Names) > 0) {
		t.Errorf("%+v", o.Along)
	}
	after, err := Installed(t.Context(), m)
	must(t, err)
	if !slices.Equal(before, after) {
		t.Error("asking has changed what is installed")
	}
	for _, log := range []string{"/var/log/dnf.log", "/var/log/hawkey.log", "/var/log/apt/history.log"} {
		if m.Root.Exists(log) {
			t.Errorf("%s is left", log)
		}
	}
}
