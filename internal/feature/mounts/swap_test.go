package mounts

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
)

// mountsTest is a config of the sections here.
type mountsTest struct {
	OS struct {
		Swap Swap `yaml:"swap"`
	} `yaml:"os"`
}

func TestSwapIsWhatMkswapMakes(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{"etc/fstab": "UUID=1 / ext4 defaults 0 1\n"})
	const id = "0b6f3a2e-5d2c-4f0e-9a51-2d1c3b4a5968"
	s := AddSwap{File: "/var/swap/file", Size: 4 << 20, UUID: id}
	if got := m.Root.Dir(); strings.HasPrefix(got, "/dev/shm") {
		t.Skip("on tmpfs")
	}
	featuretest.MustRun(t, m, s, s)
	if got, want := featuretest.Read(t, m, feature.Fstab), "UUID=1 / ext4 defaults 0 1\n/var/swap/file none swap sw 0 0\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	other := filepath.Join(t.TempDir(), "other")
	if out, err := exec.Command("sh", "-c", "truncate -s 4M "+other+" && chmod 600 "+other+" && mkswap -U "+id+" "+other+" && cmp "+other+" "+filepath.Join(m.Root.Dir(), "var/swap/file")).CombinedOutput(); err != nil {
		t.Errorf("mkswap makes something else: %v\n%s", err, out)
	}
}

func TestSwapWhereItCannotBe(t *testing.T) {
	t.Parallel()
	facts := *featuretest.DebianFacts
	facts.Filesystems = []machine.Filesystem{{MountPoint: "/", Type: "ext4", Free: 100 << 20}, {MountPoint: "/boot/efi", Type: "vfat", Free: 100 << 20}}
	for yaml, want := range map[string]string{
		"os: {swap: {size: 64M}}": "", "os: {swap: {size: 128M}}": "there are 100 MiB free at /", "grows: {swap: {size: 128M}}": "", "grows: {swap: {size: 512M}}": "there are 256 MiB free at /",
		"os: {swap: {size: 1M, path: /boot/efi/swap}}": "on which the kernel cannot swap",
	} {
		rest, grows := strings.CutPrefix(yaml, "grows")
		if grows {
			yaml = "os" + rest
		}
		g := &feature.Given{Facts: &facts}
		if grows {
			g.Free = func(machine.Filesystem) uint64 { return 256 << 20 }
		}
		_, problems := featuretest.Parse[mountsTest](t, yaml).OS.Swap.Plan(g)
		var got string
		for _, p := range problems {
			got += p.Text
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", yaml, got, want)
		}
	}
	m := featuretest.Tree(t, map[string]string{"swapfile": "precious"})
	if p := (AddSwap{File: "/swapfile", Size: 1 << 20}).Check(t.Context(), m); len(p) != 1 || !strings.Contains(p[0].Text, "something else") {
		t.Errorf("%v", p)
	}
	featuretest.Mistakes[mountsTest](t, "swap", map[string]string{
		"{path: /x}": "size is missing", "{size: 1.5G}": "is not a size", "{size: 1G, path: swap}": "not an absolute path", "{size: 1G, path: '/a b'}": "blank", "{size: 1G, path: /a/../b}": "plain form",
	})
}
