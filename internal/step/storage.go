package step

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/disk"
)

// Storage lays the system out anew: a new partition table and new filesystems, to which the system is
// copied.
type Storage struct {
	BootType    BootType     `yaml:"bootType" doc:"How firmware starts the image: efi or legacy (BIOS). Needed with disks."`
	Disks       []Disk       `yaml:"disks" doc:"The new disk; there is one at most. Without it the image keeps its partitions and filesystems. Where it only grows those of a GPT or adds others behind them, the disk is changed in place, and what was there keeps its identifiers; otherwise the system is copied to a new one."`
	ResizeDisk  *ResizeDisk  `yaml:"resizeDisk" doc:"Make the disk and one of its filesystems larger, before anything else: a mapping, or auto. With auto, the filesystem of /usr grows where packages would not fit."`
	Shrink      *Shrink      `yaml:"shrink" doc:"Shrink the filesystems, their partitions and the disk to what they hold. An xfs is made anew for that, with the same identifiers, and has 300M at least. Not those sealed by dm-verity in the base image. A partition stays where it begins."`
	Filesystems []Filesystem `yaml:"filesystems" doc:"What the new partitions hold, and where it is mounted."`
	Verity      []Verity     `yaml:"verity" doc:"Filesystems to seal with dm-verity: their content can no longer be changed without being noticed. /boot must be a filesystem of its own."`

	ResetUUIDs         ResetUUIDs   `yaml:"resetPartitionsUuidsType" default:"\"\"" doc:"reset-all gives the disk, its partitions and their filesystems and swap other identifiers: random ones, or, with --seed, ones derived from the seed. Whatever text file below /etc and /boot names an old one then names the new one. Without it they stay. Needs a GPT; not with disks or verity."`
	ReinitializeVerity Reinitialize `yaml:"reinitializeVerity" default:"none" doc:"What becomes of filesystems that the base image seals with dm-verity. none: they stay as they are, and nothing can write to them; all: they can be changed and are sealed again, with the same parameters."`
}

// BootType is how firmware starts an image.
type BootType string

// The boot types.
const (
	BootEFI    BootType = "efi"
	BootLegacy BootType = "legacy"
)

// Values lists the types.
func (BootType) Values() []string { return []string{string(BootEFI), string(BootLegacy)} }

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
func (PartitionSize) Describe() (kind, pattern string) {
	return "size or `grow`", `^([0-9]+[KMGT]|grow)$`
}

// PartitionType is the name or the UUID of a partition type.
type PartitionType string

// Describe tells how a partition's type is written.
func (PartitionType) Describe() (kind, pattern string) {
	return "partition type", "^(" + strings.Join(disk.TypeNames(), "|") + "|" + uuidPattern + ")$"
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
	MountPoint *MountPoint    `yaml:"mountPoint" doc:"Where it is mounted: a path, or a mapping with path, options (of /etc/fstab) and idType (part-uuid, the default, uuid or part-label: how /etc/fstab names it)." example:"/"`
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
	Path    string `yaml:"path" required:"true" doc:"Absolute path."`
	Options string `yaml:"options" doc:"Mount options, separated by commas."`
	IDType  IDType `yaml:"idType" doc:"How /etc/fstab names the filesystem."`
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

// UnmarshalConfig takes a path, or a mapping.
func (m *MountPoint) UnmarshalConfig(n *config.Node) {
	if n.Kind() == config.Text {
		m.Path = n.Text()
		m.Check(n.At(), n.At())
		return
	}
	type plain MountPoint // without this method
	n.Decode((*plain)(m))
	if m.Path != "" {
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
	case !cleanPath(m.Path[1:]) && m.Path != "/":
		path.Errorf("%q is not the plain form of a path", m.Path).Hint("leave out \"//\", \".\", \"..\" and the last \"/\"")
	}
	if strings.ContainsAny(m.Options, " \t\n") {
		options.Errorf("mount options hold no blank").Hint("separate them by commas")
	}
}

func cleanPath(p string) bool {
	return !slices.ContainsFunc(strings.Split(p, "/"), func(part string) bool { return part == "" || part == "." || part == ".." })
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

// Validate checks the form of the path.
func (p *SubvolumePath) Validate(at *config.At) {
	if !cleanPath(string(*p)) {
		at.Errorf("%q is not the path of a subvolume", string(*p)).Hint("write it without \"/\" at either end, \"//\", \".\" and \"..\"")
	}
}

// Quota limits a subvolume.
type Quota struct {
	ReferencedLimit *config.Size `yaml:"referencedLimit" doc:"Limit of all data that the subvolume holds."`
	ExclusiveLimit  *config.Size `yaml:"exclusiveLimit" doc:"Limit of the data that no other subvolume shares."`
}

// Validate checks that the parts fit together.
func (s *Storage) Validate(at *config.At) {
	p := StoragePlaces{Root: at, Disk: at.Field("disks").Index(0), Filesystem: at.Field("filesystems").Index, Key: func(k string) string { return k }}
	p.Partition = p.Disk.Field("partitions").Index
	switch {
	case len(s.Disks) > 1:
		at.Field("disks").Index(1).Errorf("there is more than one disk").Hint("an image is one disk")
		return
	case len(s.Disks) == 0 && at.Has("disks"):
		at.Field("disks").Errorf("the list of disks is empty").Hint("remove it, or describe the disk")
	case len(s.Disks) == 0 && at.Has("bootType"):
		at.Key("bootType").Errorf("bootType needs disks").Hint("without new partitions the image boots as it did; remove it")
	case len(s.Disks) == 0 && len(s.Filesystems) > 0:
		at.Key("filesystems").Errorf("filesystems needs disks").Hint("describe the new partitions in storage.disks")
	case len(s.Disks) == 1 && !at.Has("bootType"):
		at.Key("disks").Errorf("disks needs bootType").Hint("add \"bootType: efi\" or \"bootType: legacy\" beside it")
	}
	if len(s.Disks) > 0 && s.ResizeDisk != nil {
		at.Field("resizeDisk").Errorf("resizeDisk is for disks that are kept").Hint("give the new disk its size with disks[0].maxSize")
	}
	switch reset := at.Key("resetPartitionsUuidsType"); {
	case s.ResetUUIDs == "":
	case len(s.Disks) > 0:
		reset.Errorf("resetPartitionsUuidsType is for disks that are kept").Hint("remove it: new partitions and filesystems have new identifiers")
	case len(s.Verity) > 0 || s.ReinitializeVerity == ReinitializeAll:
		reset.Errorf("resetPartitionsUuidsType cannot be combined with dm-verity").Hint("reset the identifiers in a run of its own, before the one that seals")
	}
	if len(s.Disks) == 1 {
		s.Check(p)
	}
	s.checkVerity(at)
}

// StoragePlaces are the places of a config that describes a new disk, in either schema.
type StoragePlaces struct {
	Root, Disk            *config.At
	Partition, Filesystem func(i int) *config.At
	Key                   func(key string) string // today's spelling to that of the schema
}

func (p StoragePlaces) field(at *config.At, key string) *config.At { return at.Field(p.Key(key)) }

// Check reports everything about the new disk that cannot be, whatever the image.
func (s *Storage) Check(p StoragePlaces) {
	s.checkPartitions(p)
	s.checkBoot(p)
	s.checkFilesystems(p)
	s.checkMounts(p)
}

func (s *Storage) checkPartitions(p StoragePlaces) {
	d := s.Disks[0]
	ids := map[string]bool{}
	for i, part := range d.Partitions {
		at := p.Partition(i)
		if part.ID != "" && ids[part.ID] {
			p.field(at, "id").Errorf("two partitions are called %q", part.ID)
		}
		ids[part.ID] = true
		if why := badLabel(part.Label); why != "" {
			p.field(at, "label").Errorf("%s: %s", p.Key("label"), why)
		}
	}
	spans, _, problems := d.arrange()
	if len(problems) == 0 {
		problems = s.tooSmall(spans)
	}
	for _, pr := range problems {
		at := p.Disk
		if pr.partition >= 0 {
			at = p.Partition(pr.partition)
		}
		p.field(at, pr.key).Errorf("%s", pr.text).Hint("%s", pr.hint)
	}
}

// smallest are the least sizes that the filesystems' own programs make.
var smallest = map[FilesystemType]config.Size{"xfs": 300 * config.MiB, "btrfs": 110 * config.MiB}

func (s *Storage) tooSmall(spans []span) (problems []arrangeProblem) {
	for i, p := range s.Disks[0].Partitions {
		f, _ := s.filesystemOf(p.ID)
		if f == nil || spans[i].end-spans[i].start >= smallest[f.Type] {
			continue
		}
		problems = append(problems, arrangeProblem{i, "size", fmt.Sprintf("the partition %q has %v, too little for %s", p.ID, spans[i].end-spans[i].start, f.Type), fmt.Sprintf("give it %v at least", smallest[f.Type])})
	}
	return problems
}

func badLabel(label string) string {
	const longest = 35
	switch {
	case strings.ContainsFunc(label, func(r rune) bool { return r < ' ' || r > '~' }):
		return fmt.Sprintf("%q has characters that are not ASCII", label)
	case len(label) > longest:
		return fmt.Sprintf("%q has more than %d characters", label, longest)
	}
	return ""
}

// checkBoot checks that there is what the kind of boot needs.
func (s *Storage) checkBoot(p StoragePlaces) {
	need := map[BootType]PartitionType{BootEFI: "esp", BootLegacy: "bios-grub"}[s.BootType]
	if need != "" && !slices.ContainsFunc(s.Disks[0].Partitions, func(x Partition) bool { return x.is(need) }) {
		p.field(p.Root, "bootType").Errorf("%s %s needs a partition of type %s", p.Key("bootType"), s.BootType, need)
	}
	for i, part := range s.Disks[0].Partitions {
		at := p.field(p.Partition(i), "type")
		f, _ := s.filesystemOf(part.ID)
		switch {
		case part.is("esp") && (f == nil || f.Type.kernelName() != "vfat"):
			at.Errorf("the partition %q is an esp, which must hold a FAT filesystem", part.ID).Hint("give it a filesystem of type fat32, mounted at /boot/efi")
		case part.is("esp") && (f.MountPoint == nil || f.MountPoint.Path != espMount):
			at.Errorf("the partition %q is an esp, which must be mounted at %s", part.ID, espMount)
		case part.is("bios-grub") && f != nil && (f.Type != "" || f.MountPoint != nil):
			at.Errorf("the partition %q is a bios-grub, which holds no filesystem", part.ID)
		case part.is("swap") && f != nil && f.Type != "":
			at.Errorf("the partition %q is a swap, which holds no filesystem", part.ID).Hint("it is formatted and entered in /etc/fstab by itself")
		}
	}
}

// espMount is where the EFI system partition is mounted.
const espMount = "/boot/efi"

// is compares the type, which may be given as a UUID.
func (p Partition) is(name PartitionType) bool {
	return p.Type == name || strings.EqualFold(string(p.Type), disk.TypeGUID(string(name), "x86_64"))
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

func (s *Storage) checkFilesystems(p StoragePlaces) {
	for i, f := range s.Filesystems {
		at := p.Filesystem(i)
		_, first := s.filesystemOf(f.DeviceID)
		switch {
		case f.DeviceID == "":
		case s.partition(f.DeviceID) == nil:
			p.field(at, "deviceId").Errorf("there is no partition %q", f.DeviceID).Hint("partitions: %s", strings.Join(s.partitionIDs(), ", "))
		case first != i:
			p.field(at, "deviceId").Errorf("the partition %q has two filesystems", f.DeviceID)
		}
		switch {
		case f.MountPoint != nil && f.Type == "":
			p.field(at, "type").Errorf("a partition without filesystem cannot be mounted").Hint("add \"type:\", such as ext4")
		case f.Btrfs != nil && f.Type != "btrfs":
			p.field(at, "btrfs").Errorf("btrfs belongs to filesystems of type btrfs; this one is %q", string(f.Type))
		case f.Btrfs != nil:
			f.Btrfs.check(at.Field("btrfs"), f)
		}
	}
}

func (s *Storage) partitionIDs() (ids []string) {
	for _, p := range s.Disks[0].Partitions {
		ids = append(ids, p.ID)
	}
	return ids
}

func (b *Btrfs) check(at *config.At, f Filesystem) {
	if f.MountPoint != nil && len(b.Subvolumes) > 0 {
		at.Field("subvolumes").Errorf("a btrfs with subvolumes has no mount point of its own").Hint("mount its subvolumes")
	}
	for i, v := range b.Subvolumes {
		item := at.Field("subvolumes").Index(i)
		for _, other := range b.Subvolumes[:i] {
			if other.Path == v.Path {
				item.Field("path").Errorf("the subvolume %q is here twice", string(v.Path))
			}
		}
		if v.MountPoint == nil {
			continue
		}
		if strings.Contains(","+v.MountPoint.Options, ",subvol") {
			item.Field("mountPoint").Errorf("the option subvol is added by itself").Hint("remove it from the options")
		}
		for _, c := range b.Subvolumes {
			if c.MountPoint != nil && strings.HasPrefix(string(v.Path), string(c.Path)+"/") && below(c.MountPoint.Path, v.MountPoint.Path) {
				item.Field("mountPoint").Errorf("the subvolume %q lies in %q, and cannot be mounted above it", string(v.Path), string(c.Path))
			}
		}
	}
}

// below tells whether a path lies below another.
func below(p, dir string) bool {
	return p != dir && strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
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

func (s *Storage) checkMounts(p StoragePlaces) {
	seen := map[string]bool{}
	for _, m := range s.mounts(&p) {
		if seen[m.Path] {
			m.at.Errorf("two filesystems are mounted at %s", m.Path)
		}
		seen[m.Path] = true
		s.checkVerityMount(m)
		part := s.partition(s.Filesystems[m.filesystem].DeviceID)
		if m.IDType == IDPartLabel && part != nil && !s.labelTells(part.Label) {
			m.at.Errorf("the partition %q is to be named by its label, but no label is its alone", part.ID).Hint("give the partition a label that no other has")
		}
	}
	if !seen["/"] {
		p.Root.Errorf("no filesystem is mounted at /").Hint("give one the mount point /")
	}
}

func (s *Storage) labelTells(label string) bool {
	n := 0
	for _, p := range s.Disks[0].Partitions {
		if p.Label == label {
			n++
		}
	}
	return label != "" && n == 1
}
