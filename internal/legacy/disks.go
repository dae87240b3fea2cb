package legacy

import (
	"cmp"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature/storage"
)

// Disk is a new disk. Its numbers are MiB.
type Disk struct {
	PartitionTableType storage.TableType `yaml:"PartitionTableType" required:"true" doc:"storage.disks[].partitionTableType"`
	MaxSize            MiB               `yaml:"MaxSize" min:"0" max:"1073741824" required:"true" doc:"storage.disks[].maxSize, in MiB."`
	Partitions         []Partition       `yaml:"Partitions" doc:"storage.disks[].partitions"`
}

// MiB is an amount of storage in MiB.
type MiB int

func (m MiB) size() config.Size { return config.Size(max(0, m)) * config.MiB }

// Partition is a new partition and what it holds.
type Partition struct {
	ID     string `yaml:"ID" required:"true" doc:"storage.disks[].partitions[].id"`
	FsType FsType `yaml:"FsType" required:"true" doc:"storage.filesystems[].type"`
	Name   string `yaml:"Name" doc:"storage.disks[].partitions[].label"`
	Start  MiB    `yaml:"Start" min:"0" max:"1073741824" doc:"Where it begins, in MiB."`
	End    *MiB   `yaml:"End" min:"0" max:"1073741824" doc:"Where it ends, in MiB. Either this or Size."`
	Size   *MiB   `yaml:"Size" min:"0" max:"1073741824" doc:"Its size in MiB."`
	Flags  []Flag `yaml:"Flags" doc:"esp (or boot) or bios_grub: storage.disks[].partitions[].type"`
}

// FsType is a kind of filesystem.
type FsType string

// Values lists the kinds.
func (FsType) Values() []string { return []string{"ext4", "xfs", "fat32"} }

// Flag says what a partition is for.
type Flag string

// Values lists the flags.
func (Flag) Values() []string { return []string{"esp", "bios_grub", "boot"} }

// Validate checks what today's schema cannot express.
func (p *Partition) Validate(at *config.At) {
	if p.Start == 0 {
		at.Field("Start").Errorf("Start: the first MiB of a disk holds the partition table").Hint("begin at 1 or later")
	}
	if p.End != nil && *p.End == 0 {
		at.Field("End").Errorf("End: 0 is no end")
	}
	if p.Size != nil && *p.Size == 0 {
		at.Field("Size").Errorf("Size: 0 is no size")
	}
}

func (p Partition) lower() storage.Partition {
	s := storage.Partition{ID: p.ID, Label: p.Name, Start: p.Start.size()}
	if p.End != nil {
		s.End = p.End.size()
	}
	if p.Size != nil {
		s.Size.Bytes = p.Size.size()
	}
	switch {
	case slices.Contains(p.Flags, "bios_grub"):
		s.Type = "bios-grub"
	case len(p.Flags) > 0: // on a GPT, parted's boot flag is its esp flag
		s.Type = "esp"
	}
	return s
}

// PartitionSetting says where a partition is mounted.
type PartitionSetting struct {
	ID              string          `yaml:"ID" required:"true" doc:"The ID of the partition."`
	MountIdentifier MountIdentifier `yaml:"MountIdentifier" default:"partuuid" doc:"How /etc/fstab names the filesystem."`
	MountOptions    string          `yaml:"MountOptions" doc:"Mount options, separated by commas."`
	MountPoint      string          `yaml:"MountPoint" doc:"Absolute path; empty where the partition is not mounted."`
}

// MountIdentifier is a way to name a filesystem in /etc/fstab.
type MountIdentifier string

// Values lists the ways.
func (MountIdentifier) Values() []string { return []string{"", "uuid", "partuuid", "partlabel"} }

var idTypes = map[MountIdentifier]storage.IDType{"uuid": storage.IDUUID, "partlabel": storage.IDPartLabel}

// Validate checks that the disk and the kind of boot are both there, or neither, and that settings
// belong to partitions.
func (c *Config) Validate(at *config.At) {
	boot := c.SystemConfig.BootType != ""
	system := at.Field("SystemConfig")
	settings := c.SystemConfig.PartitionSettings
	switch {
	case at.Has("Disks") && len(c.Disks) != 1:
		at.Field("Disks").Errorf("Disks has %d disks", len(c.Disks)).Hint("an image is one disk: describe one, or leave Disks out")
	case len(c.Disks) == 0 && boot:
		system.Field("BootType").Errorf("BootType needs Disks").Hint("without new partitions the image boots as it did; remove it")
	case len(c.Disks) == 0 && len(settings) > 0:
		system.Key("PartitionSettings").Errorf("PartitionSettings needs Disks and BootType")
	case len(c.Disks) == 1 && !boot:
		at.Key("Disks").Errorf("Disks needs SystemConfig.BootType").Hint("add \"BootType: efi\" or \"BootType: legacy\" to SystemConfig")
	case len(c.Disks) == 1:
		c.checkVerity(system.Field("Verity"))
		c.checkSettings(system.Field("PartitionSettings"))
		c.checkStorage(at)
	}
}

func (c *Config) checkSettings(at *config.At) {
	seen := map[string]bool{}
	for i, s := range c.SystemConfig.PartitionSettings {
		known := slices.ContainsFunc(c.Disks[0].Partitions, func(p Partition) bool { return p.ID == s.ID })
		switch {
		case seen[s.ID]:
			at.Index(i).Field("ID").Errorf("there are two settings of partition %q", s.ID)
		case !known:
			at.Index(i).Field("ID").Errorf("there is no partition %q in Disks", s.ID)
		}
		seen[s.ID] = true
		if m := s.mountPoint(); m != nil {
			m.Check(at.Index(i).Field("MountPoint"), at.Index(i).Field("MountOptions"))
		}
	}
}

// checkStorage has today's checks look at the disk.
func (c *Config) checkStorage(at *config.At) {
	s := c.storage()
	disk := at.Field("Disks").Index(0)
	system := at.Field("SystemConfig")
	places := storage.StoragePlaces{
		Root: system, Disk: disk,
		Partition: func(i int) *config.At { return disk.Field("Partitions").Index(c.order()[i]) },
		Filesystem: func(i int) *config.At {
			for j, set := range c.SystemConfig.PartitionSettings {
				if set.ID == s.Filesystems[i].DeviceID {
					return system.Field("PartitionSettings").Index(j)
				}
			}
			return disk
		},
		Key: func(key string) string { return keys[key] },
	}
	s.Check(places)
}

// keys are today's keys in the spelling of 2023.
var keys = map[string]string{
	"id": "ID", "label": "Name", "start": "Start", "end": "End", "size": "Size", "type": "Flags", "maxSize": "MaxSize",
	"bootType": "BootType", "deviceId": "ID", "mountPoint": "MountPoint",
}

// order lists the partitions by their place on the disk, as indexes; in 2023 they could be in any order.
func (c *Config) order() []int {
	var order []int
	for i := range c.Disks[0].Partitions {
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(c.Disks[0].Partitions[a].Start, c.Disks[0].Partitions[b].Start)
	})
	return order
}

func (s PartitionSetting) mountPoint() *storage.MountPoint {
	if s.MountPoint == "" {
		return nil
	}
	return &storage.MountPoint{Path: s.MountPoint, Options: strings.TrimSpace(s.MountOptions), IDType: idTypes[s.MountIdentifier]}
}

// storage is the disk in today's schema.
func (c *Config) storage() (s storage.Storage) {
	if len(c.Disks) != 1 {
		return s
	}
	s.BootType = c.SystemConfig.BootType
	d := storage.Disk{PartitionTableType: c.Disks[0].PartitionTableType, MaxSize: c.Disks[0].MaxSize.size()}
	for _, i := range c.order() {
		p := c.Disks[0].Partitions[i]
		lowered := p.lower()
		d.Partitions = append(d.Partitions, lowered)
		if lowered.Type == "bios-grub" { // has a kind of filesystem here only because the schema wants one
			continue
		}
		f := storage.Filesystem{DeviceID: p.ID, Type: storage.FilesystemType(p.FsType)}
		for _, set := range c.SystemConfig.PartitionSettings {
			if set.ID == p.ID {
				f.MountPoint = set.mountPoint()
			}
		}
		s.Filesystems = append(s.Filesystems, f)
	}
	s.Disks = []storage.Disk{d}
	return s
}
