//go:build boot

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/identity"
	"imagecustomizer/internal/vm"
	"imagecustomizer/test/fixture"
)

// trapped has a unit that a first boot would enable where no preset names it, as on Debian, and one that it would
// disable where presets disable all others, as on Azure Linux.
const trapped = `
os:
  additionalFiles:
  - {destination: /etc/systemd/system/trap.service, content: "[Service]\nType=oneshot\nExecStart=/bin/touch /trapped\n[Install]\nWantedBy=multi-user.target\n"}
  - {destination: /etc/systemd/system/kept.service, content: "[Service]\nType=oneshot\nExecStart=/bin/touch /kept\n[Install]\nWantedBy=multi-user.target\n"}
  services: {enable: [kept.service], disable: [fstrim.timer]}
  generalize: {level: template, strict: true}
  kernelCommandLine: {extraCommandLine: [` + starved + `]}
`

// presetable takes away why presets cannot leave the units of Debian's images as they are: to enable networkd enables a
// unit too that is off there. So the machine identifier becomes "uninitialized".
const presetable = "sed -i /^Also=systemd-networkd-wait-online/d /lib/systemd/system/systemd-networkd.service"

// plantedText is in all that plant makes; plantedID is the machine identifier of the image.
const (
	plantedText = "planted-before-cloning"
	plantedID   = "0123456789abcdef0123456789abcdef"
)

// plant is a script that leaves what each row of the table takes out, but for arguments of kernels and what hangs on files
// of the system: those have tests of their own.
func plant() string {
	script := "echo " + plantedID + " >/etc/machine-id\n"
	for _, r := range identity.Table {
		if !r.At(identity.Template) || r.How == identity.Reset || r.Name == "temporary-files" {
			continue
		}
		for _, g := range r.Globs {
			file := strings.NewReplacer("~", "/root", "{esp}", "/boot/efi", "/**/", "/a/b/", "/**", "/a/b/file", "[0-9]", "7", "*", "x").Replace(g)
			script += fmt.Sprintf("mkdir -p %s && echo %s >>%s\n", filepath.Dir(file), plantedText, file)
		}
	}
	return script
}

// identities prints what tells a machine apart, one thing a line.
const identities = `cat /etc/machine-id; for k in /etc/ssh/ssh_host_*_key.pub; do cut -d' ' -f2 $k; done`

const seed = `sha256sum </var/lib/systemd/random-seed`

// clone boots an image and returns what scripts print there. Where what it writes is kept, it is powered off in the end.
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
		if o.Keep != "" {
			if err := m.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
		}
	})
	return printed
}

// webServer prints what examples/web-server.yaml asks for, as the booted system has it.
const webServer = `hostname; timedatectl show -p Timezone --value
su - alice -c 'echo $LANG; date -d 2026-05-17 +%B; sudo -n id -u'
sshd -T | grep -E '^(permitrootlogin|passwordauthentication)'
bash -c "exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\r\n\r\n' >&3; tail -n1 <&3" | sed 's/[0-9]*-[0-9-]*$/DATE/'
ls /var/lib/imagecustomizer/first-boot/welcome`

const webServed = "web-1\nEurope/Oslo\nnb_NO.UTF-8\nmai\n0\npermitrootlogin no\npasswordauthentication no\nweb-1, first started on DATE\nattempt\nended"

// clones is an image of which there are to be two machines.
type clones struct {
	base, config string
	scripts      []string
	ssh          string // unit of its server
	as           probe  // what the config asks for besides
	more         []string
}

// TestClonesDiffer boots two clones of the web server of the guide one after the other, and one of them again.
func TestClonesDiffer(t *testing.T) {
	example, err := filepath.Abs(filepath.Join(fixture.Root(), "examples/web-server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	clones{
		"debian12-efi", fmt.Sprintf("baseConfigs: [{path: %s}]\n", example), []string{plant(), presetable}, "ssh.service", probe{webServer, webServed},
		[]string{"--disable-base-image-rpm-repos", "--deb-source", fixture.Debs(t, webServerDebs...)},
	}.differ(t)
}

func TestClonesOfDebian13Differ(t *testing.T) {
	full(t)
	for name, script := range map[string]string{"first boot": presetable, "no first boot": "true"} {
		t.Run(name, func(t *testing.T) {
			clones{"debian13-efi", "", []string{plant(), script}, "ssh.service", probe{"hostname", "debian"}, nil}.differ(t)
		})
	}
}

func TestClonesOfAzureLinuxDiffer(t *testing.T) {
	full(t)
	clones{"azl3", "", []string{plant()}, "sshd.service", probe{"hostname", "azl3"}, nil}.differ(t)
}

func (c clones) differ(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	image, kept := filepath.Join(dir, "image.qcow2"), filepath.Join(dir, "kept.qcow2")
	var list []map[string]string
	for _, s := range c.scripts {
		list = append(list, map[string]string{"content": s})
	}
	scripts, err := json.Marshal(map[string]any{"postCustomization": list})
	if err != nil {
		t.Fatal(err)
	}
	customize(t, base(t, c.base), fmt.Sprintf("%sscripts: %s%s", c.config, scripts, trapped), image, "qcow2", c.more...)
	state := "systemctl is-system-running --wait; systemctl is-enabled trap.service kept.service fstrim.timer " + c.ssh + "; systemctl is-active " + c.ssh +
		"; ls /trapped /kept 2>/dev/null; grep -rlsF " + plantedText + " /boot /etc /home /opt /root /var"
	const want = "running\ndisabled\nenabled\ndisabled\nenabled\nactive\n/kept"
	first := clone(t, vm.Options{Image: image, Format: "qcow2", Keep: kept}, state, identities, c.as.script, seed)
	other := clone(t, vm.Options{Image: image, Format: "qcow2"}, state, identities, c.as.script, seed)
	again := clone(t, vm.Options{Image: kept, Format: "qcow2", Backing: true}, state, identities, c.as.script)
	for i, got := range [][]string{first, other, again} {
		if got[0] != want || got[2] != c.as.want {
			t.Errorf("boot %d: %s\nwant: %s\nbesides: %s\nwant: %s", i+1, got[0], want, got[2], c.as.want)
		}
	}
	a, b := strings.Split(first[1], "\n"), strings.Split(other[1], "\n")
	if len(a) < 4 || len(a) != len(b) || len(a[0]) != 32 || a[0] == plantedID || first[3] == other[3] {
		t.Errorf("identities:\n%s\n%s\nseeds %s %s", first[1], other[1], first[3], other[3])
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
