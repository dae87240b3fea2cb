package step

import (
	"fmt"
	"strings"
	"testing"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/feature/storage"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/verity"
)

func TestVerityPlan(t *testing.T) {
	t.Parallel()
	p, problems := Plan(featuretest.Parse[Config](t, sealRoot), sealable(), feature.Inputs{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	seals := storage.Seals(p)
	if len(seals) != 1 || seals[0].Data != "PARTLABEL=root" || seals[0].HashTag != "PARTUUID" || len(seals[0].Salt) != 32 || fmt.Sprint(seals[0].Options) != "[restart-on-corruption]" {
		t.Errorf("%+v", seals)
	}
	again, _ := Plan(featuretest.Parse[Config](t, sealRoot), sealable(), feature.Inputs{})
	if fmt.Sprint(storage.Seals(again)) != fmt.Sprint(seals) {
		t.Error("the same seed gives another salt or UUID")
	}
}

// TestSealedUsrLeavesBootOnTheRoot: only a sealed root takes /boot elsewhere.
func TestSealedUsrLeavesBootOnTheRoot(t *testing.T) {
	t.Parallel()
	f := sealable()
	f.Filesystems = []machine.Filesystem{{MountPoint: "/", Partition: 1}, {MountPoint: "/usr", Partition: 2}}
	if _, problems := Plan(featuretest.Parse[Config](t, strings.Replace(sealRoot, "name: root", "name: usr", 1)), f, feature.Inputs{}); len(problems) > 0 {
		t.Errorf("partitions that are there: %v", problems)
	}
	featuretest.Parse[Config](t, sealedUsrDisk) // fails the test where the config is refused
}

func TestVerityProblems(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(f *machine.Facts, config *string){
		"":                                func(*machine.Facts, *string) {},
		"the image has no separate /boot": func(f *machine.Facts, _ *string) { f.Filesystems = f.Filesystems[:1] },
		"no separate /boot: the initramfs mounts it": func(f *machine.Facts, c *string) {
			*c = strings.NewReplacer("name: root", "name: usr", "corruption", "hashSignaturePath: /boot/x, corruption").Replace(*c)
			f.Filesystems = []machine.Filesystem{{MountPoint: "/", Partition: 1}, {MountPoint: "/usr", Partition: 2}}
		},
		"no partition of the image is PARTLABEL=other": func(_ *machine.Facts, c *string) { *c = strings.Replace(*c, "id: hash", "id: other", 1) },
		"partition 1 is mounted":                       func(_ *machine.Facts, c *string) { *c = strings.Replace(*c, "id: hash", "id: boot", 1) },
		"it has 1024 KiB, the tree takes 8072 KiB":     func(_ *machine.Facts, c *string) { *c = strings.Replace(*c, "id: hash", "id: small", 1) },
		"made of blocks of 1024 bytes":                 func(f *machine.Facts, _ *string) { f.Volumes[1].Block = 1024 },
		"partition 3 holds xfs":                        func(f *machine.Facts, _ *string) { f.Volumes[2].Content.Type = "xfs" },
		"partition 2 is not mounted at /usr":           func(_ *machine.Facts, c *string) { *c = strings.Replace(*c, "name: root", "name: usr", 1) },
		"which is sealed by dm-verity":                 func(f *machine.Facts, _ *string) { f.Filesystems[0].Kept = true },
		"the base image seals / already": func(f *machine.Facts, _ *string) {
			f.Sealed = []image.Sealed{{Device: verity.Device{Name: "root"}, Data: f.Volumes[1]}}
		},
		"cannot be named in unified kernel images yet":         func(f *machine.Facts, _ *string) { f.Boot.Kind = boot.UKI },
		"cannot be named in the kernel arguments: the image h": func(f *machine.Facts, _ *string) { f.Boot.Kind = boot.None },
		"cannot be named in the boot entries: they lie on /efi": func(f *machine.Facts, _ *string) {
			f.Boot = boot.Scheme{Kind: boot.Systemd, Entries: "/efi/loader/entries"}
			f.Filesystems = append(f.Filesystems, machine.Filesystem{MountPoint: "/efi", Type: "vfat"})
		},
	} {
		f, config := sealable(), sealRoot
		change(f, &config)
		_, problems := Plan(featuretest.Parse[Config](t, config), f, feature.Inputs{})
		var text []string
		for _, p := range problems {
			text = append(text, p.Text)
		}
		if all := strings.Join(text, "; "); (want == "") != (all == "") || !strings.Contains(all, want) {
			t.Errorf("want %q, got %q", want, all)
		}
	}
}

// TestResealing has the parameters of the base image's devices used again.
func TestResealing(t *testing.T) {
	t.Parallel()
	f := sealable()
	f.Sealed = []image.Sealed{{
		Device: verity.Device{Name: "root", Data: "PARTUUID=2", Hash: "UUID=x", Options: []string{"panic-on-corruption"}},
		Data:   f.Volumes[1], Hash: f.Volumes[2], Super: verity.Super{Salt: []byte("old"), UUID: [16]byte{7}},
	}}
	p, problems := Plan(featuretest.Parse[Config](t, "storage: {reinitializeVerity: all}"), f, feature.Inputs{})
	seals := storage.Seals(p)
	if len(problems) > 0 || len(seals) != 1 || string(seals[0].Salt) != "old" || seals[0].UUID[0] != 7 || seals[0].HashTag != "UUID" || len(seals[0].Options) != 1 {
		t.Errorf("%v %+v", problems, seals)
	}
	if p, _ := Plan(featuretest.Parse[Config](t, "storage: {reinitializeVerity: none}"), f, feature.Inputs{}); len(storage.Seals(p)) > 0 {
		t.Error("sealed anew without being asked")
	}
}

// sealable is an image with a root partition, an empty one for its tree, and /boot.
func sealable() *machine.Facts {
	volume := func(n int, size int64, kind, name string) disk.Volume {
		return disk.Volume{Partition: disk.Partition{Number: n, Size: size, Name: name, UUID: fmt.Sprint(n)}, Content: disk.Content{Type: kind, UUID: name}}
	}
	return &machine.Facts{
		Distro: &distro.Distro{Name: "X"}, Boot: boot.Scheme{Kind: boot.Mkconfig},
		Volumes:     []disk.Volume{volume(1, 100<<20, "ext4", "boot"), volume(2, 1000<<20, "ext4", "root"), volume(3, 16<<20, "", "hash"), volume(4, 1<<20, "", "small")},
		Filesystems: []machine.Filesystem{{MountPoint: "/", Partition: 2}, {MountPoint: "/boot", Partition: 1}},
	}
}

const sealRoot = "storage: {verity: [{id: r, name: root, corruptionOption: restart, dataDevice: {idType: part-label, id: root}, hashDevice: {idType: part-label, id: hash}}]}\n"

const sealedUsrDisk = `
storage:
  bootType: efi
  disks: [{partitionTableType: gpt, maxSize: 4G, partitions: [{id: esp, type: esp, size: 64M}, {id: usr, size: 2G}, {id: hash, size: 64M}, {id: root, size: grow}]}]
  verity: [{id: u, name: usr, dataDeviceId: usr, hashDeviceId: hash}]
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: u, type: ext4, mountPoint: {path: /usr, options: ro}}
  - {deviceId: root, type: ext4, mountPoint: /}
os: {bootloader: {resetType: hard-reset}}
`
