//go:build root

package image

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/sandbox"
)

// TestDebian opens real images, and has GRUB's own tools in them find the root. It must be possible
// to make a boot menu: one that searches for the root by its UUID and passes it to the kernel.
func TestDebian(t *testing.T) {
	variants := map[string]map[string]int{"debian12-efi": {"/": 2, "/boot/efi": 1}}
	if os.Getenv("FULL") != "" {
		variants["debian12-bios"] = map[string]int{"/": 2}
		variants["debian12-mbr"] = map[string]int{"/": 1}
		variants["debian12-4k"] = map[string]int{"/": 2, "/boot/efi": 1}
		variants["debian12-xfs"] = map[string]int{"/": 3, "/boot": 2, "/boot/efi": 1}
		variants["debian12-btrfs"] = map[string]int{"/": 3, "/home": 3, "/boot": 2, "/boot/efi": 1}
		variants["debian12-parts"] = map[string]int{"/": 3, "/boot": 2, "/boot/efi": 1, "/usr": 4, "/var": 5, "/home": 6}
	}
	for v, mounts := range variants {
		t.Run(v, func(t *testing.T) {
			base := strings.TrimSpace(run(t, "", "../../test/base/debian.sh", v))
			d := openCopy(t, base)
			if len(d.Mounts) != len(mounts) {
				t.Errorf("mounted %+v", d.Mounts)
			}
			for _, m := range d.Mounts {
				if mounts[m.Path] != m.Volume.Number {
					t.Errorf("partition %d is mounted at %s", m.Volume.Number, m.Path)
				}
			}
			checkMenu(t, d)
			checkSetuid(t, d)
			must(t, d.Trim())
			must(t, d.Unmount())
			must(t, d.Check(t.Context()))
			must(t, d.Close())
		})
	}
}

func openCopy(t *testing.T, base string) *Disk {
	t.Helper()
	format, err := diskformat.Probe(t.Context(), base, false)
	must(t, err)
	file, err := os.Create(filepath.Join(t.TempDir(), "copy.raw"))
	must(t, err)
	t.Cleanup(func() { _ = file.Close() })
	must(t, diskformat.Read(t.Context(), base, format, file, func(_, _ int64) {}))
	d, err := open(t, file)
	must(t, err)
	return d
}

var menuEntry = regexp.MustCompile(`(?s)menuentry .*?\n}`)

func checkMenu(t *testing.T, d *Disk) {
	t.Helper()
	in, err := sandbox.EnterImage(d.Root, d.Nodes, d.Links)
	must(t, err)
	defer func() { must(t, in.Leave()) }()
	var out strings.Builder
	mkconfig := hostcmd.New("grub-mkconfig")
	mkconfig.Stdout = &out
	_, err = sandbox.Run(t.Context(), d.Root.Dir(), mkconfig)
	must(t, err)
	menu := out.String()
	uuid := map[string]string{}
	for _, m := range d.Mounts {
		uuid[m.Path] = m.Volume.Content.UUID
	}
	boot := uuid["/boot"]
	if boot == "" {
		boot = uuid["/"]
	}
	entries := menuEntry.FindAllString(menu, -1)
	if len(entries) < 2 {
		t.Fatalf("%d menu entries in\n%s", len(entries), menu)
	}
	for _, e := range entries[:2] {
		if !regexp.MustCompile(`search .*--fs-uuid .*`+boot).MatchString(e) || !strings.Contains(e, " root=UUID="+uuid["/"]) {
			t.Errorf("not found by UUID:\n%s", e)
		}
	}
	if strings.Contains(menu, "/dev/vda") || strings.Contains(menu, "loop") {
		t.Errorf("device names of this host are in the menu:\n%s", menu)
	}
}

// checkSetuid looks whether a setuid program of the image counts where its programs run, and nowhere else.
func checkSetuid(t *testing.T, d *Disk) {
	t.Helper()
	var st unix.Statfs_t
	must(t, unix.Statfs(d.Root.Dir(), &st))
	if st.Flags&unix.ST_NOSUID == 0 || st.Flags&unix.ST_NODEV == 0 {
		t.Errorf("the image is mounted with the flags %#x", st.Flags)
	}
	in, err := sandbox.EnterImage(d.Root, d.Nodes, d.Links)
	must(t, err)
	defer func() { must(t, in.Leave()) }()
	var out strings.Builder
	c := hostcmd.New("sh", "-ec", "cp /usr/bin/id /usr/id2; chmod 4755 /usr/id2; setpriv --reuid=65534 --clear-groups /usr/id2 -u; rm /usr/id2; cp /usr/bin/id /tmp/id2; chmod 4755 /tmp/id2; setpriv --reuid=65534 --clear-groups /tmp/id2 -u")
	c.Stdout = &out
	_, err = sandbox.Run(t.Context(), d.Root.Dir(), c)
	must(t, err)
	if out.String() != "0\n65534\n" {
		t.Errorf("a setuid program of the image, and one in /tmp, ran as %q", out.String())
	}
}
