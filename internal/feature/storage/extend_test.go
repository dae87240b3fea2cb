package storage

import (
	"strings"
	"testing"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/seed"
)

const mib = 1 << 20

// extendable is an image with an ESP and a root that grownConfig describes.
func extendable() *machine.Facts {
	f := facts("debian", "12", "6.1.0")
	f.DiskSize = 1024 * mib
	f.Volumes = []disk.Volume{
		{
			Partition: disk.Partition{Number: 1, Start: mib, Size: 64 * mib, Type: disk.TypeESP, UUID: "old-1", Name: "efi", Attributes: 4},
			Content:   disk.Content{Type: "vfat", UUID: "ABCD-0123"},
		},
		{
			Partition: disk.Partition{Number: 2, Start: 65 * mib, Size: 958 * mib, Type: "0fc63daf-8483-4772-8e79-3d69d8477de4", UUID: "old-2", Name: "root"},
			Content:   disk.Content{Type: "ext4", UUID: "old-root"},
		},
	}
	f.Filesystems = []machine.Filesystem{{MountPoint: "/", Type: "ext4", Partition: 2}, {MountPoint: "/boot/efi", Type: "vfat", Partition: 1}}
	return f
}

const grownConfig = `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    maxSize: 4G
    partitions:
    - {id: esp, type: esp, size: 64M}
    - {id: root, label: root, size: 1G}
    - {id: swap, type: swap, size: 64M}
    - {id: var, type: var, size: grow}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: root, type: ext4, mountPoint: {path: /, idType: uuid}}
  - {deviceId: var, type: xfs, mountPoint: /var}
os: {bootloader: {resetType: hard-reset}}
`

func TestGrownLayoutKeepsTheDisk(t *testing.T) {
	t.Parallel()
	p, problems := Disks{&featuretest.Parse[storageTest](t, grownConfig).Storage}.plan(extendable(), feature.Inputs{Seed: seed.New("x")})
	if len(problems) > 0 || len(p) != 1 {
		t.Fatal(p, problems)
	}
	s, ok := p[0].(ExtendDisk)
	if !ok {
		t.Fatalf("%T: %v", p[0], p[0])
	}
	l := s.Layout
	if l.Kept != 2 || l.Partition(1).UUID != "old-1" || l.Partition(1).Name != "efi" || l.Partition(1).Attributes != 4 || l.Format(2).UUID != "old-root" {
		t.Errorf("kept %+v", l)
	}
	if l.Partition(4).UUID == "" || l.Format(4).UUID == "" || l.Format(3).Type != "swap" {
		t.Errorf("added %+v", l)
	}
	fstab := newFstab("UUID=old-root / ext4 errors=remount-ro 0 1\n", l, nil)
	for _, want := range []string{"UUID=old-root / ext4", "PARTUUID=old-1 /boot/efi vfat", "PARTUUID=" + l.Partition(4).UUID + " /var xfs", "UUID=" + l.Format(3).UUID + " none swap"} {
		if !strings.Contains(fstab, want) {
			t.Errorf("fstab lacks %q:\n%s", want, fstab)
		}
	}
	if !mountsNew(p) {
		t.Error("nothing new is mounted at boot")
	}
}

func TestOnlyGrownLayoutNeedsNoInitramfs(t *testing.T) {
	t.Parallel()
	c := featuretest.Parse[storageTest](t, strings.NewReplacer("    - {id: var, type: var, size: grow}\n", "", "  - {deviceId: var, type: xfs, mountPoint: /var}\n", "").Replace(grownConfig))
	g := &feature.Given{Facts: extendable(), NewDisk: true}
	p, _ := Disks{&c.Storage}.Plan(g)
	rebuild, _ := booting.PlanInitramfs(g)
	if _, ok := p[0].(ExtendDisk); !ok || len(rebuild) > 0 {
		t.Errorf("%v, then %v", p, rebuild)
	}
}

// TestOtherLayoutsAreCopied changes one thing each that cannot be done in place.
func TestOtherLayoutsAreCopied(t *testing.T) {
	t.Parallel()
	config := func(was, is string) func(string, *machine.Facts) string {
		return func(text string, _ *machine.Facts) string { return strings.Replace(text, was, is, 1) }
	}
	image := func(change func(f *machine.Facts)) func(string, *machine.Facts) string {
		return func(text string, f *machine.Facts) string {
			change(f)
			return text
		}
	}
	for name, change := range map[string]func(string, *machine.Facts) string{
		"a smaller partition":    config("label: root, size: 1G", "label: root, size: 900M"),
		"another start":          config("{id: root, label: root, size: 1G}", "{id: root, label: root, start: 66M, size: 1G}"),
		"another type":           config("{id: root, label: root", "{id: root, type: root, label: root"),
		"another label":          config("label: root", "label: system"),
		"another filesystem":     config("root, type: ext4", "root, type: xfs"),
		"another mount point":    config("type: xfs, mountPoint: /var", "type: xfs, mountPoint: /boot"), // changed below: the ESP is mounted elsewhere
		"a FAT to be grown":      config("esp, size: 64M}\n    - {id: root", "esp, size: 65M}\n    - {id: root"),
		"a new FAT":              config("var, type: xfs", "var, type: vfat"),
		"a smaller disk":         image(func(f *machine.Facts) { f.DiskSize = 5 << 30 }),
		"an MBR":                 image(func(f *machine.Facts) { f.Volumes[1].Partition.Type = "0x83" }),
		"other numbers":          image(func(f *machine.Facts) { f.Volumes[0].Number, f.Volumes[1].Number = 2, 1 }),
		"verity before":          image(func(f *machine.Facts) { f.Sealed = append(f.Sealed, sealedRoot) }),
		"a root not yet mounted": image(func(f *machine.Facts) { f.Filesystems = f.Filesystems[1:] }),
		"more mounts before": image(func(f *machine.Facts) {
			f.Filesystems = append(f.Filesystems, machine.Filesystem{MountPoint: "/efi", Partition: 1})
		}),
		"more partitions before": image(func(f *machine.Facts) {
			for n := 3; n < 6; n++ {
				f.Volumes = append(f.Volumes, disk.Volume{Partition: disk.Partition{Number: n, Start: 1023 * mib, Size: 4096}})
			}
		}),
	} {
		f := extendable()
		text := change(grownConfig, f)
		if name == "another mount point" {
			f.Filesystems[1].MountPoint = "/efi"
		}
		c := featuretest.Parse[storageTest](t, text)
		if l := c.Storage.layout(f, feature.Inputs{}); l.Kept != 0 || l.Partition(1).UUID == "old-1" {
			t.Errorf("%s: kept", name)
		}
	}
}

var sealedRoot = image.Sealed{}

// TestSubvolumesThatAreThere keeps a btrfs only where all of its subvolumes are mounted as before.
func TestSubvolumesThatAreThere(t *testing.T) {
	t.Parallel()
	root := "{deviceId: root, type: ext4, mountPoint: {path: /, idType: uuid}}"
	for subvolumes, want := range map[string]int{
		"{path: '@', mountPoint: /}":                                     2,
		"{path: other, mountPoint: /}":                                   0,
		"{path: '@', mountPoint: /, quota: {referencedLimit: 1G}}":       0,
		"{path: '@', mountPoint: /}, {path: more}":                       0,
		"{path: '@', mountPoint: /}, {path: '@home', mountPoint: /home}": 0,
	} {
		f := extendable()
		f.Volumes[1].Content.Type, f.Filesystems[0].Type, f.Filesystems[0].Subvolume = "btrfs", "btrfs", "/@"
		text := strings.Replace(grownConfig, root, "{deviceId: root, type: btrfs, btrfs: {subvolumes: ["+subvolumes+"]}}", 1)
		if got := featuretest.Parse[storageTest](t, text).Storage.layout(f, feature.Inputs{}).Kept; got != want {
			t.Errorf("%s: kept %d partitions, want %d", subvolumes, got, want)
		}
	}
}
