package storage

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/seed"
)

const (
	oldESP  = "1A2B-3C4D"
	oldRoot = "0a1b2c3d-1111-4222-8333-44445555aaaa"
	oldPart = "0a1b2c3d-1111-4222-8333-44445555bbbb"
)

func volume(number int, kind, id, part string) disk.Volume {
	return disk.Volume{
		Partition: disk.Partition{Number: number, Type: disk.TypeESP, UUID: part},
		Content:   disk.Content{Type: kind, UUID: id},
	}
}

func planReset(t *testing.T, from string) ResetIdentifiers {
	t.Helper()
	f := &machine.Facts{Volumes: []disk.Volume{
		volume(1, "vfat", oldESP, "0a1b2c3d-1111-4222-8333-44445555cccc"), volume(2, "ext4", oldRoot, oldPart),
		volume(14, "", "", "0a1b2c3d-1111-4222-8333-44445555dddd"),
	}}
	p, problems := planIdentifiers(f, seed.New(from))
	if len(problems) > 0 || len(p) != 1 {
		t.Fatal(p, problems)
	}
	return p[0].(ResetIdentifiers)
}

func TestIdentifiersOfASeed(t *testing.T) {
	t.Parallel()
	a, b, other := planReset(t, "a"), planReset(t, "a"), planReset(t, "b")
	if a.New.Disk != b.New.Disk || !maps.Equal(a.New.Partitions, b.New.Partitions) {
		t.Error("one seed gives two sets of identifiers")
	}
	seen := map[string]bool{a.New.Disk: true, other.New.Disk: true}
	for n, id := range a.New.Partitions {
		if (n == 14) != (id.Content == "") {
			t.Errorf("partition %d: %+v", n, id)
		}
		for _, s := range []string{id.Partition, other.New.Partitions[n].Partition, id.Content, other.New.Partitions[n].Content} {
			if s != "" && seen[s] {
				t.Errorf("%s is there twice", s)
			}
			seen[s] = true
		}
	}
}

func TestReferencesFollow(t *testing.T) {
	t.Parallel()
	s := planReset(t, "a")
	id := s.New.Partitions
	names := strings.NewReplacer("<esp>", id[1].Content, "<root>", id[2].Content, "<part>", id[2].Partition)
	for text, want := range map[string]string{
		"UUID=" + oldRoot + " / ext4 defaults 0 1\nUUID=1a2b-3c4d /boot/efi vfat defaults 0 1\n": "UUID=<root> / ext4 defaults 0 1\nUUID=<esp> /boot/efi vfat defaults 0 1\n",
		"root=PARTUUID=" + strings.ToUpper(oldPart) + " quiet":                                   "root=PARTUUID=<part> quiet",
		"set default='gnulinux-simple-" + oldRoot + "'":                                          "set default='gnulinux-simple-<root>'",
		"/dev/disk/by-uuid/" + oldESP + ", \"" + oldRoot + "\"":                                  "/dev/disk/by-uuid/<esp>, \"<root>\"",
		"another: 0a1b2c3d-1111-4222-8333-44445555ffff":                                          "another: 0a1b2c3d-1111-4222-8333-44445555ffff",
		"longer: 00000000-1a2b-3c4d-8333-44445555ffff":                                           "longer: 00000000-1a2b-3c4d-8333-44445555ffff",
		"x" + oldESP: "x" + oldESP,
	} {
		if got := s.renameText(text); got != names.Replace(want) {
			t.Errorf("%s\nbecame %s\nwant   %s", text, got, names.Replace(want))
		}
	}
}

func TestIdentifiersThatStay(t *testing.T) {
	t.Parallel()
	mbr := volume(1, "ext4", oldRoot, "12345678-01")
	mbr.Partition.Type = "0x83"
	for want, f := range map[string]*machine.Facts{
		"partition 2 holds DM_verity_hash, which": {Volumes: []disk.Volume{volume(1, "ext4", oldRoot, oldPart), volume(2, "DM_verity_hash", "", "")}},
		"partition 1 holds crypto_LUKS, which":    {Volumes: []disk.Volume{volume(1, "crypto_LUKS", oldRoot, oldPart)}},
		"the image has an MBR":                    {Volumes: []disk.Volume{mbr}},
		"sealed by dm-verity":                     {Sealed: []image.Sealed{{}}, Volumes: []disk.Volume{volume(1, "ext4", oldRoot, oldPart)}},
		oldRoot + " identifies more than one":     {Volumes: []disk.Volume{volume(1, "ext4", oldRoot, oldPart), volume(2, "ext4", oldRoot, "")}},
	} {
		_, problems := planIdentifiers(f, seed.Seed{})
		if len(problems) != 1 || !strings.Contains(problems[0].Text, want) {
			t.Errorf("want %q, got %v", want, problems)
		}
	}
}

// TestBIOSNamesTheOldOne: an image that UEFI starts as well as BIOS needs a new core image for BIOS.
func TestBIOSNamesTheOldOne(t *testing.T) {
	t.Parallel()
	root, err := rootfs.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	bios := volume(1, "", "", oldPart)
	bios.Partition.Type = disk.TypeBIOSBoot
	m := &machine.Machine{Root: root, Disk: f, Facts: &machine.Facts{
		Arch: "x86_64", Distro: &distro.Distro{GRUB: &distro.GRUB{BIOSPackage: "grub-pc-bin"}}, Volumes: []disk.Volume{bios},
		Filesystems: []machine.Filesystem{{MountPoint: "/"}, {MountPoint: feature.ESPMount}},
	}}
	refused := func(s booting.ResetBoot) bool {
		return slices.ContainsFunc(s.Check(t.Context(), m), func(p plan.Problem) bool { return strings.Contains(p.Text, "no GRUB for BIOS") })
	}
	if refused(booting.ResetBoot{Renamed: true}) {
		t.Error("refused although BIOS does not start it")
	}
	if _, err := f.WriteAt([]byte("GRUB "), 0x180); err != nil {
		t.Fatal(err)
	}
	if !refused(booting.ResetBoot{Renamed: true}) || refused(booting.ResetBoot{}) || refused(booting.ResetBoot{Renamed: true, Packages: []string{"grub-pc-bin"}}) {
		t.Error("refused are not those, and only those, that would name the old identifier")
	}
}
