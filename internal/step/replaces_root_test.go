//go:build root

package step

import (
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

const replacing = `
os:
  hostname: web-1
  packages: {remove: [gone]}
  groups: [{name: ops}]
  users: [{name: new}, {name: alice, sshPublicKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3tYlXJ0EhpvJHpbXFjUu0UcUZtZ5uSWmNIkkJpFQ8T a"], password: {type: locked}}]
  additionalFiles: [{content: x, destination: /etc/motd}, {content: x, destination: /srv/new/deep}, {content: x, destination: /etc/link}]
  modules: [{name: a, loadMode: always}, {name: b, loadMode: disable}, {name: c, options: {x: y}}]
  services: {enable: [ssh]}
  kernelCommandLine: {extraCommandLine: [quiet]}
  overlays: [{lowerDirs: [/etc], upperDir: /var/up, workDir: /var/work, mountPoint: /etc}]
`

// TestImmutableFilesAreFoundWhenPlanning makes each file that a step says it replaces immutable, then append-only, then its
// folder, and looks whether planning says so, once and at its place.
func TestImmutableFilesAreFoundWhenPlanning(t *testing.T) {
	m := featuretest.Tree(t, map[string]string{
		"etc/hostname": "old", "etc/hosts": "127.0.1.1 old\n", "etc/passwd": "alice:x:1000:1000::/home/alice:/bin/sh\n", "etc/group": "alice:x:1000:\n",
		"etc/shadow": "alice:!:1::::::\n", "etc/fstab": "x / ext4\n", "etc/motd": "m", "usr/motd": "m", "srv/x": "", "boot/grub/grub.cfg": "", "etc/default/grub": "",
		"var/lib/dpkg/status": "", "var/lib/dpkg/info/gone.list": "/usr\n/usr/gone\n", "usr/gone": "", "var/lib/dpkg/info/other.list": "/usr/motd\n",
		"home/alice/.ssh/authorized_keys": "", "etc/modprobe.d/x": "", "etc/modules-load.d/x": "", "etc/systemd/system/x": "", "usr/share/image-customizer/x": "",
		"etc/image-customizer-release": "",
	})
	if err := m.Root.Symlink("/usr/motd", "/etc/link"); err != nil {
		t.Fatal(err)
	}
	m.Facts = &machine.Facts{Distro: &distro.Distro{Name: "Debian"}, PackageManager: "apt", Boot: boot.Scheme{Kind: boot.Mkconfig, Config: "/boot/grub/grub.cfg"}}
	p, problems := Plan(featuretest.Parse[Config](t, replacing), m.Facts, feature.Inputs{NoBaseRepos: true})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	about := func() (found []plan.Problem) {
		for _, x := range p.Preflight(t.Context(), m) {
			if strings.Contains(x.Text, "immutable or append-only") {
				found = append(found, x)
			}
		}
		return found
	}
	if found := about(); len(found) > 0 {
		t.Fatalf("nothing is immutable, but %v", found)
	}
	seen := 0
	for _, s := range p {
		r, ok := s.(plan.Replacer)
		if !ok {
			continue
		}
		for _, f := range r.Replaces(m) {
			seen++
			file := f.File
			if real, err := m.Root.Real(file); err == nil {
				file = real
			}
			for _, flag := range []int{unix.STATX_ATTR_IMMUTABLE, unix.STATX_ATTR_APPEND} {
				for _, at := range []string{file, path.Dir(file)} {
					for !m.Root.Exists(at) {
						at = path.Dir(at)
					}
					fix(t, m.Root.Dir()+at, flag)
					found := about()
					fix(t, m.Root.Dir()+at, 0)
					if !slices.ContainsFunc(found, func(x plan.Problem) bool {
						return x.Path == f.Path && strings.HasPrefix(x.Text, f.File+" cannot be changed: ")
					}) {
						t.Errorf("%s: %s with %#x is found as %v", s.Name(), at, flag, found)
					}
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("tried %d files only", seen)
	}
}

// fix gives a file the flags and no other.
func fix(t *testing.T, name string, flags int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	has, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, has&^(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND)|flags); err != nil {
		t.Fatal(err)
	}
}
