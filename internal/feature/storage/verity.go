package storage

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/google/uuid"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/verity"
)

// Verity seals a filesystem with dm-verity: the kernel checks each block of it against a tree of
// hashes as it is read. The filesystem is read-only from then on.
type Verity struct {
	ID                    string           `yaml:"id" required:"true" doc:"Name by which filesystems refer to the device." example:"rootverity"`
	Name                  VerityName       `yaml:"name" required:"true" doc:"root for the filesystem mounted at /, usr for that at /usr."`
	DataDeviceID          string           `yaml:"dataDeviceId" doc:"The id of the new partition that holds the filesystem."`
	HashDeviceID          string           `yaml:"hashDeviceId" doc:"The id of the new partition that the hash tree goes to. That of dataDeviceId puts it behind the filesystem, in the same partition."`
	DataDevice            *PartitionRef    `yaml:"dataDevice" doc:"The partition of the base image that holds the filesystem. Instead of dataDeviceId, without disks."`
	HashDevice            *PartitionRef    `yaml:"hashDevice" doc:"The partition of the base image that the hash tree goes to. Instead of hashDeviceId."`
	DataDeviceMountIDType IDType           `yaml:"dataDeviceMountIdType" default:"part-uuid" doc:"How the kernel arguments name the partition of the filesystem."`
	HashDeviceMountIDType IDType           `yaml:"hashDeviceMountIdType" default:"part-uuid" doc:"How the kernel arguments name the partition of the hash tree."`
	CorruptionOption      CorruptionOption `yaml:"corruptionOption" default:"io-error" doc:"What the kernel does about a block that does not have its hash: fail the read, ignore it (it is logged), panic, or restart."`
	HashSignaturePath     string           `yaml:"hashSignaturePath" doc:"File below /boot with a signature of the root hash, which the kernel will demand. It is put there after the run." example:"/boot/root.hash.sig"`
}

// VerityName is the name of a verity device.
type VerityName string

// Values lists the names.
func (VerityName) Values() []string { return []string{"root", "usr"} }

// PartitionRef names a partition of the base image.
type PartitionRef struct {
	IDType IDType `yaml:"idType" required:"true" doc:"What id is."`
	ID     string `yaml:"id" required:"true" doc:"Label, or UUID."`
}

// source is the partition as fstab names it.
func (r PartitionRef) source() string { return tagOf(r.IDType) + "=" + r.ID }

func tagOf(t IDType) string {
	return map[IDType]string{IDPartUUID: "PARTUUID", IDUUID: "UUID", IDPartLabel: "PARTLABEL"}[cmp.Or(t, IDPartUUID)]
}

// CorruptionOption says what becomes of a read of damaged data.
type CorruptionOption string

var corruptionOptions = map[CorruptionOption]string{
	"io-error": "", "ignore": "ignore-corruption", "panic": "panic-on-corruption", "restart": "restart-on-corruption",
}

// Values lists the options.
func (CorruptionOption) Values() []string { return []string{"io-error", "ignore", "panic", "restart"} }

// Reinitialize says what becomes of the base image's verity devices.
type Reinitialize string

// ReinitializeAll seals them anew.
const ReinitializeAll Reinitialize = "all"

// Values lists the ways.
func (Reinitialize) Values() []string { return []string{"", "none", string(ReinitializeAll)} }

// Validate checks one device on its own.
func (v *Verity) Validate(at *config.At) {
	v.CheckDevices(at, at.Field)
	if p := v.HashSignaturePath; p != "" && (path.Clean(p) != p || !strings.HasPrefix(p, "/boot/")) {
		at.Field("hashSignaturePath").Errorf("%q is not the plain form of a path below /boot", p).Hint("write it like /boot/root.hash.sig")
	}
}

// CheckDevices checks how the partitions are named, in either schema; field finds the place of a key.
func (v *Verity) CheckDevices(at *config.At, field func(string) *config.At) {
	named, referred := v.DataDeviceID+v.HashDeviceID != "", v.DataDevice != nil || v.HashDevice != nil
	switch {
	case named && referred:
		at.Errorf("new partitions (dataDeviceId, hashDeviceId) and those of the base image (dataDevice, hashDevice) cannot be mixed")
	case referred && v.HashDevice == nil, named && v.HashDeviceID == "":
		at.Errorf("the partition for the hash tree is missing").Hint("add hashDevice, or hashDeviceId with new partitions")
	case referred && v.DataDevice == nil, !referred && v.DataDeviceID == "":
		at.Errorf("the partition of the filesystem is missing").Hint("add dataDevice, or dataDeviceId with new partitions")
	case referred && *v.DataDevice == *v.HashDevice && v.DataDevice.ID != "":
		field("hashDevice").Errorf("the filesystem fills its partition: the hash tree needs another one")
	}
	for key, r := range map[string]*PartitionRef{"dataDevice": v.DataDevice, "hashDevice": v.HashDevice} {
		if r != nil && r.IDType != "" {
			r.check(field(key))
		}
	}
}

func (r PartitionRef) check(at *config.At) {
	switch r.IDType {
	case IDUUID, IDPartUUID:
		if _, err := uuid.Parse(r.ID); err != nil && r.ID != "" {
			at.Errorf("%q is no UUID", r.ID)
		}
	case IDPartLabel:
		if why := badLabel(r.ID); why != "" {
			at.Errorf("%s", why)
		}
	}
	if r.ID == "" {
		at.Errorf("the id is empty")
	}
}

// new tells whether the device is made of new partitions.
func (v *Verity) new() bool { return v.DataDeviceID != "" }

func (v *Verity) mount() string { return verity.Names[string(v.Name)] }

// options are those of systemd-veritysetup.
func (v *Verity) options() (list []string) {
	if o := corruptionOptions[v.CorruptionOption]; o != "" {
		list = append(list, o)
	}
	if v.HashSignaturePath != "" {
		list = append(list, "root-hash-signature="+v.HashSignaturePath)
	}
	return list
}

// checkVerity checks the devices among each other and against the new partitions.
func (s *Storage) checkVerity(at *config.At) {
	list := at.Field("verity")
	for i := range s.Verity {
		v, item := &s.Verity[i], list.Index(i)
		for _, other := range s.Verity[:i] {
			switch {
			case other.Name == v.Name && v.Name != "":
				item.Field("name").Errorf("two verity devices are called %q", string(v.Name))
			case other.ID == v.ID && v.ID != "":
				item.Field("id").Errorf("two verity devices have the id %q", v.ID)
			case other.new() != v.new():
				item.Errorf("new partitions and those of the base image cannot be mixed; the first verity device uses the other kind")
			}
		}
		switch {
		case v.new() && len(s.Disks) == 0:
			item.Field("dataDeviceId").Errorf("there are no new partitions to refer to").Hint("add storage.disks, or name partitions of the base image with dataDevice and hashDevice")
		case !v.new() && v.DataDevice != nil && len(s.Disks) > 0:
			item.Field("dataDevice").Errorf("with new disks, the base image's partitions do not stay").Hint("refer to new ones with dataDeviceId and hashDeviceId")
		case v.new() && len(s.Disks) == 1:
			s.checkNewVerity(v, item)
		}
	}
}

// checkNewVerity checks a device made of new partitions.
func (s *Storage) checkNewVerity(v *Verity, at *config.At) {
	for key, id := range map[string]string{"dataDeviceId": v.DataDeviceID, "hashDeviceId": v.HashDeviceID} {
		if !slices.Contains(s.partitionIDs(), id) && id != "" {
			at.Field(key).Errorf("there is no partition %q", id).Hint("partitions: %s", strings.Join(s.partitionIDs(), ", "))
		}
		for i := range s.Verity {
			if o := &s.Verity[i]; o != v && id != "" && (o.DataDeviceID == id || o.HashDeviceID == id) {
				at.Field(key).Errorf("the partition %q belongs to two verity devices", id)
			}
		}
	}
	if slices.Contains(s.partitionIDs(), v.ID) {
		at.Field("id").Errorf("%q is the id of a partition too", v.ID)
	}
	used := false
	for _, f := range s.Filesystems {
		used = used || f.DeviceID == v.ID
		if f.DeviceID == v.DataDeviceID || f.DeviceID == v.HashDeviceID {
			at.Errorf("the filesystem of partition %q goes around the verity device", f.DeviceID).Hint("write \"deviceId: %s\" there, and none for the hash tree", v.ID)
		}
	}
	if !used && v.ID != "" {
		at.Field("id").Errorf("no filesystem has the deviceId %q", v.ID).Hint("add one to storage.filesystems, mounted at %s with the option ro", v.mount())
	}
	if (v.Name == "root" || v.HashSignaturePath != "") && !s.separate("/boot", nil) {
		at.Errorf("there is no filesystem for /boot").Hint("the boot entries name the hash, and cannot lie on what it seals: add a partition and a filesystem mounted at /boot")
	}
	for key, x := range map[string]struct {
		kind IDType
		id   string
	}{"dataDeviceMountIdType": {v.DataDeviceMountIDType, v.DataDeviceID}, "hashDeviceMountIdType": {v.HashDeviceMountIDType, v.HashDeviceID}} {
		if p := s.partition(x.id); x.kind == IDPartLabel && p != nil && !s.labelTells(p.Label) {
			at.Field(key).Errorf("the partition %q is to be named by its label, but no label is its alone", x.id).Hint("give the partition a label that no other has")
		}
	}
	s.checkTreeSize(v, at.Field("hashDeviceId"))
}

// sizeBeforeTree is the size of a filesystem that leaves room for its hash tree in the same partition;
// 0 where it fills the partition.
func (s *Storage) sizeBeforeTree(p Partition) int64 {
	for _, v := range s.Verity {
		if i := slices.Index(s.partitionIDs(), p.ID); v.DataDeviceID == p.ID && v.HashDeviceID == p.ID && i >= 0 {
			spans, _, _ := s.Disks[0].arrange()
			return verity.InlineData(int64(spans[i].end - spans[i].start))
		}
	}
	return 0
}

// blockSize is what a filesystem must be made of for its device; 0 where it does not matter.
func (s *Storage) blockSize(p Partition) int {
	if slices.ContainsFunc(s.Verity, func(v Verity) bool { return v.DataDeviceID == p.ID }) {
		return verity.BlockSize
	}
	return 0
}

func (s *Storage) checkTreeSize(v *Verity, at *config.At) {
	places, _, problems := s.Disks[0].arrange()
	data, hash := slices.Index(s.partitionIDs(), v.DataDeviceID), slices.Index(s.partitionIDs(), v.HashDeviceID)
	if len(problems) > 0 || data < 0 || hash < 0 || data == hash {
		return
	}
	need := verity.Size(int64(places[data].end-places[data].start) / verity.BlockSize)
	if have := int64(places[hash].end - places[hash].start); need > have {
		at.Errorf("partition %q is too small for the hash tree: it has %d KiB, the tree takes %d KiB", v.HashDeviceID, have>>10, need>>10)
	}
}

// checkVerityMount checks how a sealed filesystem is mounted.
func (s *Storage) checkVerityMount(m mount) {
	v := s.verityOf(s.Filesystems[m.filesystem].DeviceID)
	if v == nil {
		return
	}
	switch {
	case m.Path != v.mount():
		m.at.Errorf("the verity device %q must be mounted at %s", string(v.Name), v.mount()).Hint("systemd knows only root, for /, and usr, for /usr")
	case !slices.Contains(strings.Split(m.Options, ","), "ro"):
		m.at.Errorf("a filesystem sealed by dm-verity is read-only, and the mount options of %s do not say so", m.Path).Hint("add \"options: ro\" to the mount point")
	case m.IDType != "":
		m.at.Errorf("idType is not for verity devices: /etc/fstab will name %s", verity.Node(string(v.Name)))
	}
}

// verityOf is the verity device with this id, or nil.
func (s *Storage) verityOf(id string) *Verity {
	for i := range s.Verity {
		if s.Verity[i].ID == id && id != "" {
			return &s.Verity[i]
		}
	}
	return nil
}
