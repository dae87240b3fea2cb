package storage

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/seed"
)

// storageTest is a config of the sections here.
type storageTest struct {
	Storage Storage `yaml:"storage"`
	OS      struct {
		Bootloader booting.Bootloader `yaml:"bootloader"`
	} `yaml:"os"`
}

const diskConfig = `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    maxSize: 4G
    partitions:
    - {id: esp, type: esp, size: 8M}
    - {id: boot, end: 400M, label: b}
    - {id: swap, type: swap, start: 500M, size: 64M}
    - {id: root, type: root, size: grow}
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: boot, type: xfs, mountPoint: {path: /boot, idType: part-label, options: "noatime,nodev"}}
  - deviceId: root
    type: btrfs
    btrfs:
      subvolumes:
      - {path: srv, mountPoint: {path: /srv, idType: uuid}, quota: {exclusiveLimit: 1G}}
      - {path: root, mountPoint: /}
os: {bootloader: {resetType: hard-reset}}
`

func facts(name, version, kernel string) *machine.Facts {
	return &machine.Facts{
		Distro: distro.Match(map[string]string{"ID": name, "VERSION_ID": version}), Arch: "x86_64", SectorSize: 512,
		HostKernel: "6.18.1", Kernels: []boot.Kernel{{Version: kernel}},
	}
}

func TestLayout(t *testing.T) {
	t.Parallel()
	c := featuretest.Parse[storageTest](t, diskConfig)
	in := feature.Inputs{Seed: seed.New("x")}
	l := c.Storage.layout(facts("azurelinux", "3.0", "6.6.1"), in)
	var got []string
	for _, p := range l.Table.Partitions {
		got = append(got, strings.Join([]string{config.Size(p.Start).String(), config.Size(p.Size).String(), p.Type[:8], l.Format(p.Number).Type}, " "))
	}
	want := []string{"1M 8M c12a7328 vfat", "9M 391M 0fc63daf xfs", "500M 64M 0657fd6d swap", "564M 3531M 4f68bce3 btrfs"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	uuid := func(n int) string { return l.Format(n).UUID }
	fstab := newFstab("", l, nil)
	if d := cmp.Diff("PARTUUID="+l.Partition(4).UUID+" / btrfs subvol=/root 0 0\n"+
		"PARTLABEL=b /boot xfs noatime,nodev 0 0\n"+
		"UUID="+uuid(4)+" /srv btrfs subvol=/srv 0 0\n"+
		"PARTUUID="+l.Partition(1).UUID+" /boot/efi vfat umask=0077 0 2\n"+
		"UUID="+uuid(3)+" none swap sw 0 0\n", fstab); d != "" {
		t.Error(d)
	}
	if again := c.Storage.layout(facts("azurelinux", "3.0", "6.6.1"), in); cmp.Diff(l, again) != "" {
		t.Error("the same seed gave another layout")
	}
	if other := c.Storage.layout(facts("azurelinux", "3.0", "6.6.1"), feature.Inputs{Seed: seed.New("y")}); other.Table.ID == l.Table.ID || other.Format(4).UUID == uuid(4) {
		t.Error("another seed gave the same identifiers")
	}
}

// TestFeaturesOfTheTarget checks what kernels and boot loaders of the distributions can read.
func TestFeaturesOfTheTarget(t *testing.T) {
	t.Parallel()
	c := featuretest.Parse[storageTest](t, diskConfig)
	for name, want := range map[string]string{
		"azurelinux 3.0 6.6.1":  "bigtime crc finobt inobtcount reflink rmapbt sparse | extref skinny-metadata no-holes free-space-tree",
		"mariner 2.0 5.15.1":    "bigtime crc finobt inobtcount reflink rmapbt sparse | extref skinny-metadata no-holes free-space-tree",
		"ubuntu 22.04 5.15.0-1": "crc finobt reflink sparse | extref skinny-metadata no-holes",
		"debian 12 5.4.0-1":     "crc finobt reflink rmapbt sparse | extref skinny-metadata no-holes free-space-tree",
		"nobody 1 6.6.1":        "crc finobt reflink sparse | extref skinny-metadata no-holes",
		"fedora 42 6.14.1.fc42": "bigtime crc finobt inobtcount reflink rmapbt sparse nrext64 | extref skinny-metadata no-holes free-space-tree",
		"azurelinux 3.0 5.10.0": "bigtime crc finobt inobtcount reflink rmapbt sparse | extref skinny-metadata no-holes free-space-tree",
	} {
		f := strings.Fields(name)
		l := c.Storage.layout(facts(f[0], f[1], f[2]), feature.Inputs{})
		if d := cmp.Diff(want, strings.Join(l.Format(2).Features, " ")+" | "+strings.Join(l.Format(4).Features, " ")); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	root := featuretest.Parse[storageTest](t, `
storage:
  bootType: legacy
  disks: [{partitionTableType: gpt, partitions: [{id: bios, type: bios-grub, size: 1M}, {id: boot, size: 1G}, {id: root, size: 1G}]}]
  filesystems: [{deviceId: root, type: ext4, mountPoint: /}, {deviceId: boot, type: ext4, mountPoint: /boot}]
os: {bootloader: {resetType: hard-reset}}
`)
	l := root.Storage.layout(facts("azurelinux", "3.0", "6.6.1"), feature.Inputs{})
	if f := l.Format(3).Features; f[len(f)-1] != "orphan_file" {
		t.Errorf("Azure Linux 3.0 gets %v", f)
	}
	if f := root.Storage.layout(facts("azurelinux", "3.0", "5.10.1"), feature.Inputs{}).Format(3).Features; f[len(f)-1] == "orphan_file" {
		t.Errorf("a kernel 5.10 gets %v", f)
	}
}

func TestNewFstabKeepsWhatIsNotOfTheDisk(t *testing.T) {
	t.Parallel()
	c := featuretest.Parse[storageTest](t, diskConfig)
	l := c.Storage.layout(facts("debian", "12", "6.1.0"), feature.Inputs{})
	got := newFstab(`# a comment
UUID=old / ext4 errors=remount-ro 0 1
tmpfs /tmp tmpfs nosuid 0 0
/dev/sda3 none swap sw 0 0
/swapfile none swap sw 0 0
LABEL=old-boot /boot ext4 defaults 0 2
/dev/disk/azure/resource-part1 /mnt ext4 nofail 0 0
/dev/sdb1 /data auto nofail 0 2
UUID=other /backup xfs nofail 0 0
/dev/nvme1n1p2 none swap sw 0 0
/dev/sdc1 /srv ext4 nofail 0 0
server:/x /nfs nfs _netdev 0 0`, l, nil)
	lines := strings.Split(got, "\n")
	var targets []string
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) > 1 {
			targets = append(targets, f[0][:min(4, len(f[0]))]+" "+f[1])
		}
	}
	want := []string{"# a", "PART /", "PART /boot", "UUID /srv", "PART /boot/efi", "UUID none", "tmpf /tmp", "/swa none", "/dev /mnt", "/dev /data", "UUID /backup", "/dev none", "serv /nfs"}
	if d := cmp.Diff(want, targets); d != "" {
		t.Errorf("%s\n%s", d, got)
	}
}

func TestNewDiskNamesTheNewSwap(t *testing.T) {
	t.Parallel()
	l := featuretest.Parse[storageTest](t, diskConfig).Storage.layout(facts("debian", "12", "6.1.0"), feature.Inputs{})
	const resume = "/etc/initramfs-tools/conf.d/resume"
	m := featuretest.Tree(t, map[string]string{"etc/fstab": "UUID=old / ext4 defaults 0 1\n", resume: "RESUME=UUID=old\n"})
	f := machine.NewFake(m.Facts, m.Root, m.Root)
	featuretest.MustRun(t, f.Machine, NewDisk{l})
	if len(f.Layouts) != 1 || f.Layouts[0] != l || featuretest.Read(t, m, resume) != "RESUME=UUID="+l.Format(3).UUID+"\n" || strings.Contains(featuretest.Read(t, m, "/etc/fstab"), "old") {
		t.Errorf("layouts %v, resume %q, fstab %q", f.Layouts, featuretest.Read(t, m, resume), featuretest.Read(t, m, "/etc/fstab"))
	}
}
