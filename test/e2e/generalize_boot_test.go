//go:build boot

package e2e

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/vm"
)

// trapped has a unit that a first boot would enable, since no preset of Debian names it, and a host that knows itself.
const trapped = `
os:
  additionalFiles:
  - {destination: /etc/systemd/system/trap.service, content: "[Service]\nType=oneshot\nExecStart=/bin/touch /trapped\n[Install]\nWantedBy=multi-user.target\n"}
  services: {disable: [fstrim.timer]}
  generalize: {level: golden, strict: true}
  kernelCommandLine: {extraCommandLine: [no_timer_check]}
`

// presetable takes away why presets cannot leave the units of the base image as they are: to enable networkd enables a unit
// too that is off there. So the machine identifier becomes "uninitialized".
const presetable = `
scripts:
  postCustomization: [{content: sed -i /^Also=systemd-networkd-wait-online/d /lib/systemd/system/systemd-networkd.service}]
`

// identities prints what tells a machine apart, one thing a line.
const identities = `cat /etc/machine-id; for k in /etc/ssh/ssh_host_*_key.pub; do cut -d' ' -f2 $k; done`

const seed = `sha256sum </var/lib/systemd/random-seed`

// clone boots an image and returns what scripts print there.
func clone(t *testing.T, o vm.Options, scripts ...string) (printed []string) {
	t.Helper()
	inGuest(t, o, func(ctx context.Context, m *vm.Machine) {
		for _, s := range scripts {
			got, _, err := m.Run(ctx, s)
			if err != nil {
				t.Fatalf("%s: %v\n%s", s, err, m.Console())
			}
			printed = append(printed, strings.TrimSpace(got))
		}
	})
	return printed
}

// powerOff ends a guest, so that a second boot finds what the first wrote.
const powerOff = "sync; systemctl poweroff --no-block"

// TestClonesDiffer boots two clones of one image one after the other, and one of them again.
func TestClonesDiffer(t *testing.T) {
	clonesDiffer(t, "debian12-efi", trapped+presetable)
}

func TestClonesOfDebian13Differ(t *testing.T) {
	full(t)
	for name, config := range map[string]string{"first boot": trapped + presetable, "no first boot": trapped} {
		t.Run(name, func(t *testing.T) { clonesDiffer(t, "debian13-efi", config) })
	}
}

func clonesDiffer(t *testing.T, name, config string) {
	t.Helper()
	dir := t.TempDir()
	image, kept := filepath.Join(dir, "image.qcow2"), filepath.Join(dir, "kept.qcow2")
	customize(t, base(t, name), config, image, "qcow2")
	const state = `systemctl is-system-running --wait; systemctl is-enabled trap.service fstrim.timer ssh.service; systemctl is-active ssh.service; ls /trapped 2>/dev/null`
	const want = "running\ndisabled\ndisabled\nenabled\nactive"
	first := clone(t, vm.Options{Image: image, Format: "qcow2", Keep: kept}, state, identities, seed, powerOff)
	other := clone(t, vm.Options{Image: image, Format: "qcow2"}, state, identities, seed)
	again := clone(t, vm.Options{Image: kept, Format: "qcow2", Backing: true}, state, identities)
	for i, got := range []string{first[0], other[0], again[0]} {
		if got != want {
			t.Errorf("boot %d: %s", i+1, got)
		}
	}
	a, b := strings.Split(first[1], "\n"), strings.Split(other[1], "\n")
	if len(a) != 4 || len(b) != 4 || len(a[0]) != 32 || first[2] == other[2] {
		t.Errorf("identities:\n%s\n%s\nseeds %s %s", first[1], other[1], first[2], other[2])
	}
	for _, line := range a {
		if slices.Contains(b, line) {
			t.Errorf("both have %s", line)
		}
	}
	if again[1] != first[1] {
		t.Errorf("the second boot has\n%s\nand the first had\n%s", again[1], first[1])
	}
}

// TestSealedClonesDiffer boots two clones of an image whose root is sealed. Changes to /etc go to /var.
func TestSealedClonesDiffer(t *testing.T) {
	full(t)
	image := seal(t, "panic", "  packages: {install: [cryptsetup-bin]}\n  generalize: {level: golden, strict: true}\n")
	const state = "systemctl is-system-running --wait; systemctl is-active ssh.service; touch /x 2>&1 | grep -c 'Read-only file system'"
	const keys = "for k in /etc/ssh/ssh_host_*_key.pub; do cut -d' ' -f2 $k; done"
	first, other := clone(t, vm.Options{Image: image, Format: "raw"}, state, keys), clone(t, vm.Options{Image: image, Format: "raw"}, state, keys)
	if want := "running\nactive\n1"; first[0] != want || other[0] != want {
		t.Errorf("%s\n%s", first[0], other[0])
	}
	if n := strings.Count(first[1], "\n"); n != 2 || first[1] == other[1] {
		t.Errorf("keys:\n%s\n%s", first[1], other[1])
	}
}
