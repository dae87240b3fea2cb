package mounts

import (
	"strings"
	"testing"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/machine"
)

const linuxType, espType = "0fc63daf-8483-4772-8e79-3d69d8477de4", disk.TypeESP

func growVolume(number int, start int64, kind, content string) disk.Volume {
	return disk.Volume{Partition: disk.Partition{Number: number, Start: start, Type: kind}, Content: disk.Content{Type: content}}
}

// growTree is an image with systemd's programs, /boot on partition 2 and / on partition 3, the last.
func growTree(t *testing.T, fstab string) *machine.Machine {
	t.Helper()
	m := featuretest.Tree(t, map[string]string{"etc/fstab": fstab, "usr/lib/systemd/system/systemd-repart.service": "", "usr/lib/systemd/systemd-growfs": ""})
	f := machine.NewFake(featuretest.DebianFacts, m.Root)
	d := f.Opened()
	d.Table = &disk.Table{Kind: "gpt"}
	d.Volumes = []disk.Volume{growVolume(1, 1, espType, "vfat"), growVolume(2, 2, linuxType, "ext4"), growVolume(3, 3, linuxType, "ext4")}
	d.Mounts = []image.Mounted{{Path: "/", Volume: d.Volumes[2]}, {Path: "/boot", Volume: d.Volumes[1]}}
	return f.Machine
}

const growFstab = "UUID=1 / ext4 errors=remount-ro 0 1\nUUID=2 /boot ext4 defaults 0 2\n"

func TestTheLastFilesystemGrows(t *testing.T) {
	t.Parallel()
	m := growTree(t, growFstab)
	featuretest.MustRun(t, m, SetGrowOnBoot{}, SetGrowOnBoot{})
	if got, want := featuretest.Read(t, m, feature.Fstab), "UUID=1 / ext4 errors=remount-ro,x-systemd.growfs 0 1\nUUID=2 /boot ext4 defaults 0 2\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for name, want := range map[string]string{"00": "0", "01": "1000"} { // partition 2 is of the same type, and comes first
		if got := featuretest.Read(t, m, repartDir+"/50-grow-"+name+".conf"); got != "[Partition]\nType="+linuxType+"\nWeight="+want+"\n" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if m.Root.Exists(repartDir + "/50-grow-02.conf") {
		t.Error("there is a definition too many, by which a partition would be made")
	}
}

func withGrowpart(t *testing.T, m *machine.Machine) {
	t.Helper()
	featuretest.Program(t, m, "growpart", "sfdisk", "findmnt", "systemctl")
}

// TestTheLastFilesystemGrowsByGrowpart: where systemd-repart is missing, or the disk has an MBR, growpart does it, and
// systemd or the filesystem's own program the rest.
func TestTheLastFilesystemGrowsByGrowpart(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(m *machine.Machine){
		"\n/usr/lib/systemd/systemd-growfs \"$1\"\n": func(m *machine.Machine) { m.Opened().Table.Kind = "mbr" },
		"\nresize2fs \"$device\"\n": func(m *machine.Machine) {
			_ = m.Root.Remove("/usr/lib/systemd/systemd-growfs")
			featuretest.Program(t, m, "resize2fs")
		},
	} {
		m := growTree(t, growFstab)
		withGrowpart(t, m)
		change(m)
		featuretest.MustRun(t, m, SetGrowOnBoot{}, SetGrowOnBoot{})
		if got := featuretest.Read(t, m, growRunner); !strings.HasSuffix(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
		unit := featuretest.Read(t, m, "/etc/systemd/system/sysinit.target.wants/"+growUnit)
		if !strings.Contains(unit, "ExecStart=/bin/sh "+growRunner+" /\n") || m.Root.Exists(repartDir) || featuretest.Read(t, m, feature.Fstab) != growFstab {
			t.Errorf("%s", unit)
		}
	}
}

// TestTheLastFilesystemCannotGrow: each of these would have made no larger filesystem, or none that boots.
func TestTheLastFilesystemCannotGrow(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(m *machine.Machine, d *image.Disk){
		"the disk has an MBR, in which systemd-repart grows no partition, and the image has no growpart (install cloud-guest-utils in": func(_ *machine.Machine, d *image.Disk) {
			d.Table.Kind = "mbr"
		},
		"number 5, is a logical one": func(m *machine.Machine, d *image.Disk) {
			d.Table.Kind, d.Volumes[2].Number, d.Mounts[0].Volume.Number = "mbr", 5, 5
			withGrowpart(t, m)
		},
		"neither sfdisk nor sgdisk": func(m *machine.Machine, d *image.Disk) { d.Table.Kind = "mbr"; featuretest.Program(t, m, "growpart") },
		"has no program that makes the last filesystem of the disk larger": func(m *machine.Machine, _ *image.Disk) {
			withGrowpart(t, m)
			_ = m.Root.Remove("/usr/lib/systemd/systemd-growfs")
		},
		"number 4, has no filesystem": func(_ *machine.Machine, d *image.Disk) {
			d.Volumes = append(d.Volumes, growVolume(4, 9, linuxType, "swap"))
		},
		"belongs to dm-verity": func(_ *machine.Machine, d *image.Disk) { d.Sealed = []image.Sealed{{Hash: d.Volumes[2]}} },
		"sealed by dm-verity":  func(_ *machine.Machine, d *image.Disk) { d.Mounts[0].Kept = true },
		"is vfat":              func(_ *machine.Machine, d *image.Disk) { d.Volumes[2].Content.Type = "vfat" },
		"read-only": func(m *machine.Machine, _ *image.Disk) {
			_ = m.Root.WriteFile(feature.Fstab, []byte("UUID=1 / ext4 ro 0 1\n"), 0o644)
		},
		"does not mount /": func(m *machine.Machine, _ *image.Disk) { _ = m.Root.WriteFile(feature.Fstab, nil, 0o644) },
		"says already": func(m *machine.Machine, _ *image.Disk) {
			_ = m.Root.MkdirAll("/usr/lib/repart.d", 0o755)
			_ = m.Root.WriteFile("/usr/lib/repart.d/x.conf", nil, 0o644)
		},
		"it has no systemd-repart.service with systemd-growfs, and no growpart (install systemd-repart (systemd before Debian 13) or cloud-guest-utils in": func(m *machine.Machine, _ *image.Disk) { _ = m.Root.Remove("/usr/lib/systemd/systemd-growfs") },
	} {
		m := growTree(t, growFstab)
		change(m, m.Opened())
		var got string
		for _, p := range (SetGrowOnBoot{}).Check(t.Context(), m) {
			got += p.Text + " (" + p.Hint + ")"
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if p := (SetGrowOnBoot{SealedRoot: true}).Check(t.Context(), growTree(t, growFstab)); len(p) != 1 {
		t.Errorf("a root that is sealed in this run: %v", p)
	}
	if p := (SetGrowOnBoot{NewDisk: true}).Check(t.Context(), growTree(t, "")); len(p) != 0 {
		t.Errorf("the disk is another one by then: %v", p)
	}
}
