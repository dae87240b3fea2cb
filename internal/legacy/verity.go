package legacy

import (
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature/storage"
)

// Verity seals the root filesystem with dm-verity.
type Verity struct {
	DataPartition VerityPartition `yaml:"DataPartition" required:"true" doc:"storage.verity[].dataDevice, or with Disks dataDeviceId: the partition of the root filesystem."`
	HashPartition VerityPartition `yaml:"HashPartition" required:"true" doc:"storage.verity[].hashDevice, or with Disks hashDeviceId."`
}

// VerityPartition names a partition.
type VerityPartition struct {
	IDType VerityIDType `yaml:"IdType" required:"true" doc:"What Id is."`
	ID     string       `yaml:"Id" required:"true" doc:"Label, or UUID."`
}

// VerityIDType is a way to name a partition.
type VerityIDType string

// Values lists the ways.
func (VerityIDType) Values() []string { return []string{"PartLabel", "Uuid", "PartUuid"} }

func (p VerityPartition) ref() *storage.PartitionRef {
	kinds := map[VerityIDType]storage.IDType{"PartLabel": storage.IDPartLabel, "Uuid": storage.IDUUID, "PartUuid": storage.IDPartUUID}
	return &storage.PartitionRef{IDType: kinds[p.IDType], ID: p.ID}
}

// Validate checks both partitions.
func (v *Verity) Validate(at *config.At) {
	lowered := v.lower()
	lowered.CheckDevices(at, func(key string) *config.At {
		return at.Field(map[string]string{"dataDevice": "DataPartition", "hashDevice": "HashPartition"}[key]).Field("Id")
	})
}

func (v *Verity) lower() storage.Verity {
	return storage.Verity{ID: "root-verity", Name: "root", DataDevice: v.DataPartition.ref(), HashDevice: v.HashPartition.ref(), CorruptionOption: "panic"}
}

// checkVerity checks that partitions of a new disk are named by their labels there.
func (c *Config) checkVerity(at *config.At) {
	if c.SystemConfig.Verity == nil || len(c.Disks) != 1 {
		return
	}
	for key, p := range map[string]VerityPartition{"DataPartition": c.SystemConfig.Verity.DataPartition, "HashPartition": c.SystemConfig.Verity.HashPartition} {
		if c.labelled(p) == "" {
			at.Field(key).Errorf("no partition in Disks has the Name %q", p.ID).Hint("with Disks, name the partition by its label: IdType: PartLabel, and as Id its Name")
		}
	}
}

// labelled is the ID of the new partition that p names.
func (c *Config) labelled(p VerityPartition) string {
	for _, part := range c.Disks[0].Partitions {
		if p.IDType == "PartLabel" && part.Name == p.ID && p.ID != "" {
			return part.ID
		}
	}
	return ""
}

// addVerity adds the device to the lowered storage. On a new disk the data partition's filesystem
// becomes that of the device.
func (c *Config) addVerity(s *storage.Storage) {
	if c.SystemConfig.Verity == nil {
		return
	}
	v := c.SystemConfig.Verity.lower()
	if len(s.Disks) == 1 {
		v.DataDeviceID, v.HashDeviceID = c.labelled(c.SystemConfig.Verity.DataPartition), c.labelled(c.SystemConfig.Verity.HashPartition)
		v.DataDevice, v.HashDevice = nil, nil
		s.Filesystems = slices.DeleteFunc(s.Filesystems, func(f storage.Filesystem) bool { return f.DeviceID == v.HashDeviceID })
		for i, f := range s.Filesystems {
			if f.DeviceID != v.DataDeviceID {
				continue
			}
			s.Filesystems[i].DeviceID = v.ID
			if m := f.MountPoint; m != nil && !slices.Contains(strings.Split(m.Options, ","), "ro") {
				m.Options, m.IDType = strings.TrimPrefix(m.Options+",ro", ","), ""
			}
		}
	}
	s.Verity = []storage.Verity{v}
}
