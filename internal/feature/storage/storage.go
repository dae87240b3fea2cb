// Package storage is what a config says of the disk: partitions, filesystems, their sizes and identifiers, and dm-verity
// (storage).
package storage

import (
	"reflect"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
)

// Storage lays the system out anew: a new partition table and new filesystems, to which the system is
// copied.
type Storage struct {
	BootType    feature.BootType `yaml:"bootType" doc:"How firmware starts the image: efi or legacy (BIOS). Needed with disks."`
	Disks       []Disk           `yaml:"disks" doc:"The new disk; there is one at most. Without it the image keeps its partitions and filesystems. Where it only grows those of a GPT or adds others behind them, the disk is changed in place, and what was there keeps its identifiers; otherwise the system is copied to a new one."`
	ResizeDisk  *ResizeDisk      `yaml:"resizeDisk" doc:"Make the disk and one of its filesystems larger, before anything else: a mapping, or auto. With auto, the filesystem of /usr grows where packages would not fit."`
	Shrink      *Shrink          `yaml:"shrink" doc:"Shrink the filesystems, their partitions and the disk to what they hold. An xfs is made anew for that, with the same identifiers, and has 300M at least. Not those sealed by dm-verity in the base image. A partition stays where it begins."`
	Filesystems []Filesystem     `yaml:"filesystems" doc:"What the new partitions hold, and where it is mounted."`
	Verity      []Verity         `yaml:"verity" doc:"Filesystems to seal with dm-verity: their content can no longer be changed without being noticed. /boot must be a filesystem of its own."`

	ResetUUIDs         ResetUUIDs   `yaml:"resetPartitionsUuidsType" default:"\"\"" doc:"reset-all gives the disk, its partitions and their filesystems and swap other identifiers: random ones, or, with --seed, ones derived from the seed. Whatever text file below /etc and /boot names an old one then names the new one. Without it they stay. Needs a GPT; not with disks or verity."`
	ReinitializeVerity Reinitialize `yaml:"reinitializeVerity" default:"none" doc:"What becomes of filesystems that the base image seals with dm-verity. none: they stay as they are, and nothing can write to them; all: they can be changed and are sealed again, with the same parameters."`
}

// Disk is a new disk.
type Disk struct {
	PartitionTableType TableType   `yaml:"partitionTableType" required:"true" doc:"Kind of partition table."`
	MaxSize            config.Size `yaml:"maxSize" doc:"Size of the disk. Default: the end of the last partition and 1 MiB." example:"4G"`
	Partitions         []Partition `yaml:"partitions" required:"true" doc:"Partitions in the order of the disk."`
}

// TableType is a kind of partition table.
type TableType string

// Values lists the kinds.
func (TableType) Values() []string { return []string{"gpt"} }

// Partition is a new partition.
type Partition struct {
	ID    string        `yaml:"id" required:"true" doc:"Name by which filesystems refer to the partition." example:"rootfs"`
	Label string        `yaml:"label" doc:"Name in the partition table: 35 ASCII characters at most."`
	Start config.Size   `yaml:"start" doc:"Where it begins. Default: the end of the one before; the first begins at 1M."`
	End   config.Size   `yaml:"end" doc:"Where it ends. Either this or size; the last partition may have neither, and fills the disk."`
	Size  PartitionSize `yaml:"size" doc:"Its size; grow, for the last partition, fills the disk." example:"512M"`
	Type  PartitionType `yaml:"type" default:"linux-generic" doc:"What it is for: esp, bios-grub, linux-generic, root, root-verity, usr, usr-verity, home, srv, var, tmp, swap, xbootldr, or the UUID of a type. A swap partition is formatted and entered in /etc/fstab."`
}

// PartitionSize is a size, or the rest of the disk.
type PartitionSize struct {
	Bytes config.Size
	Grow  bool
}

// UnmarshalScalar reads a size or "grow".
func (s *PartitionSize) UnmarshalScalar(text string, at *config.At) {
	if text == "grow" {
		s.Grow = true
		return
	}
	s.Bytes.UnmarshalScalar(text, at)
}

// Describe tells how a partition's size is written.
func (PartitionSize) Describe() config.Form {
	return config.Form{Kind: "size or `grow`", Pattern: `^(0*[1-9][0-9]*[KMGT]|grow)$`}
}

// PartitionType is the name or the UUID of a partition type.
type PartitionType string

// Describe tells how a partition's type is written.
func (PartitionType) Describe() config.Form {
	return config.Form{Kind: "partition type", Pattern: "^(" + strings.Join(disk.TypeNames(), "|") + "|" + uuidPattern + ")$"}
}

const uuidPattern = `[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`

var uuidText = regexp.MustCompile("^" + uuidPattern + "$")

// UnmarshalScalar checks that the type is known, or is a UUID.
func (t *PartitionType) UnmarshalScalar(text string, at *config.At) {
	if names := disk.TypeNames(); !slices.Contains(names, text) && !uuidText.MatchString(text) {
		at.Errorf("type: %q is no partition type", text).Hint("write the UUID of a type, or one of %s", strings.Join(names, ", "))
		return
	}
	*t = PartitionType(text)
}

// Filesystem is what a partition holds.
type Filesystem struct {
	DeviceID   string         `yaml:"deviceId" required:"true" doc:"The id of the partition." example:"rootfs"`
	Type       FilesystemType `yaml:"type" doc:"Kind of filesystem. Without it the partition stays empty."`
	MountPoint *MountPoint    `yaml:"mountPoint" doc:"Where it is mounted: a path, or a mapping with its options too." example:"/"`
	Btrfs      *Btrfs         `yaml:"btrfs" doc:"For btrfs: its subvolumes."`
}

// FilesystemType is a kind of filesystem.
type FilesystemType string

// Values lists the kinds.
func (FilesystemType) Values() []string {
	return []string{"", "btrfs", "ext4", "fat32", "vfat", "xfs"}
}

// kernelName is what mount calls the kind.
func (t FilesystemType) kernelName() string {
	if t == "fat32" {
		return "vfat"
	}
	return string(t)
}

// MountPoint is where and how a filesystem is mounted.
type MountPoint struct {
	Path    string
	Options string // separated by commas
	IDType  IDType // how /etc/fstab names the filesystem
}

// IDType is a way to name a filesystem in /etc/fstab.
type IDType string

// The ways.
const (
	IDPartUUID  IDType = "part-uuid"
	IDUUID      IDType = "uuid"
	IDPartLabel IDType = "part-label"
)

// Values lists the ways.
func (IDType) Values() []string {
	return []string{string(IDPartUUID), string(IDUUID), string(IDPartLabel)}
}

// mountPath is a mount point written as its path alone.
type mountPath string

// Describe tells how the path is written.
func (mountPath) Describe() config.Form {
	return config.Form{Kind: "path", Pattern: `^/[^ \t\n:,]*$`, Except: `//|[^/]/$|/\.{1,2}(/|$)`}
}

// mountFields is a mount point written as a mapping.
type mountFields struct {
	Path    mountPath `yaml:"path" required:"true" doc:"Absolute path."`
	Options string    `yaml:"options" doc:"Mount options of /etc/fstab, separated by commas." example:"noatime,nodev"`
	IDType  IDType    `yaml:"idType" default:"part-uuid" doc:"How /etc/fstab names the filesystem."`
}

// Forms are the ways to write it.
func (MountPoint) Forms() []reflect.Type {
	return []reflect.Type{reflect.TypeFor[mountPath](), reflect.TypeFor[mountFields]()}
}

// UnmarshalConfig takes a path, or a mapping.
func (m *MountPoint) UnmarshalConfig(n *config.Node) {
	if n.Kind() == config.Text {
		m.Path = n.Text()
		m.Check(n.At(), n.At())
		return
	}
	var f mountFields
	n.Decode(&f)
	*m = MountPoint{string(f.Path), f.Options, f.IDType}
	if n.At().Has("path") && n.Kind() == config.Map {
		m.Check(n.At().Field("path"), n.At().Field("options"))
	}
}

// Check reports what the path and the options, which are at these places, cannot be.
func (m *MountPoint) Check(path, options *config.At) {
	switch {
	case !strings.HasPrefix(m.Path, "/"):
		path.Errorf("%q is not an absolute path", m.Path).Hint("begin it with \"/\"")
	case strings.ContainsAny(m.Path, " \t\n:,"):
		path.Errorf("%q holds a blank, a colon or a comma, which a mount point cannot", m.Path)
	case !feature.CleanPath(m.Path[1:]) && m.Path != "/":
		path.Errorf("%q is not the plain form of a path", m.Path).Hint("leave out \"//\", \".\", \"..\" and the last \"/\"")
	}
	if strings.ContainsAny(m.Options, " \t\n") && !options.FormOnly() {
		options.Errorf("mount options hold no blank").Hint("separate them by commas")
	}
}

// Btrfs is what is special about a btrfs.
type Btrfs struct {
	Subvolumes []Subvolume `yaml:"subvolumes" doc:"Subvolumes to make. The filesystem itself then has no mount point."`
}

// Subvolume is a part of a btrfs that is mounted on its own.
type Subvolume struct {
	Path       SubvolumePath `yaml:"path" required:"true" doc:"Path inside the btrfs." example:"root"`
	MountPoint *MountPoint   `yaml:"mountPoint" doc:"As that of a filesystem."`
	Quota      *Quota        `yaml:"quota" doc:"Limits of its size."`
}

// SubvolumePath is a path from the top of a btrfs.
type SubvolumePath string

// Describe tells how the path is written.
func (SubvolumePath) Describe() config.Form {
	return config.Form{Kind: "path", Pattern: `^[^/]+(/[^/]+)*$`, Except: `(^|/)\.{1,2}(/|$)`}
}

// Validate checks the form of the path.
func (p *SubvolumePath) Validate(at *config.At) {
	if !feature.CleanPath(string(*p)) {
		at.Errorf("%q is not the path of a subvolume", string(*p)).Hint("write it without \"/\" at either end, \"//\", \".\" and \"..\"")
	}
}

// Quota limits a subvolume.
type Quota struct {
	ReferencedLimit *config.Size `yaml:"referencedLimit" doc:"Limit of all data that the subvolume holds."`
	ExclusiveLimit  *config.Size `yaml:"exclusiveLimit" doc:"Limit of the data that no other subvolume shares."`
}

func (s *Storage) filesystemOf(id string) (*Filesystem, int) {
	for i := range s.Filesystems {
		if f := &s.Filesystems[i]; f.DeviceID == id || s.partition(f.DeviceID) != nil && s.partition(f.DeviceID).ID == id {
			return f, i
		}
	}
	return nil, -1
}

// partition is the one with this id, or the one that the verity device with this id is made of.
func (s *Storage) partition(id string) *Partition {
	if v := s.verityOf(id); v != nil {
		id = v.DataDeviceID
	}
	for i := range s.Disks[0].Partitions {
		if s.Disks[0].Partitions[i].ID == id {
			return &s.Disks[0].Partitions[i]
		}
	}
	return nil
}

func (s *Storage) partitionIDs() (ids []string) {
	for _, p := range s.Disks[0].Partitions {
		ids = append(ids, p.ID)
	}
	return ids
}

// mount is one place where a partition, or a subvolume of it, is mounted.
type mount struct {
	MountPoint
	filesystem int
	subvolume  string
	at         *config.At
}

// mounts lists what is mounted. at is nil for mounts without places.
func (s *Storage) mounts(p *StoragePlaces) (list []mount) {
	place := func(i int) *config.At {
		if p == nil {
			return nil
		}
		return p.Filesystem(i)
	}
	for i, f := range s.Filesystems {
		at := place(i)
		if f.MountPoint != nil {
			if at != nil {
				at = p.field(at, "mountPoint")
			}
			list = append(list, mount{*f.MountPoint, i, "", at})
		}
		if f.Btrfs == nil {
			continue
		}
		for j, v := range f.Btrfs.Subvolumes {
			if v.MountPoint == nil {
				continue
			}
			sub := place(i)
			if sub != nil {
				sub = sub.Field("btrfs").Field("subvolumes").Index(j).Field("mountPoint")
			}
			list = append(list, mount{*v.MountPoint, i, string(v.Path), sub})
		}
	}
	return list
}

// is compares the type, which may be given as a UUID.
func (p Partition) is(name PartitionType) bool {
	return p.Type == name || strings.EqualFold(string(p.Type), disk.TypeGUID(string(name), "x86_64"))
}

// MountPoints are those of all filesystems of new disks.
func (s *Storage) MountPoints() (list []string) {
	for _, m := range s.mounts(nil) {
		list = append(list, m.Path)
	}
	return list
}
