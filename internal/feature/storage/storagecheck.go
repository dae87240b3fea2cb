package storage

import (
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
)

// Validate checks that the parts fit together.
func (s *Storage) Validate(at *config.At) {
	p := StoragePlaces{Root: at, Disk: at.Field("disks").Index(0), Filesystem: at.Field("filesystems").Index, Key: func(k string) string { return k }}
	p.Partition = p.Disk.Field("partitions").Index
	switch {
	case len(s.Disks) > 1:
		at.Field("disks").Index(1).Errorf("there is more than one disk").Hint("an image is one disk")
		return
	case len(s.Disks) == 0 && s.BootType != "":
		at.Key("bootType").Errorf("bootType needs disks").Hint("without new partitions the image boots as it did; remove it")
	case len(s.Disks) == 0 && len(s.Filesystems) > 0:
		at.Key("filesystems").Errorf("filesystems needs disks").Hint("describe the new partitions in storage.disks")
	case len(s.Disks) == 1 && s.BootType == "":
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

// sizesUnread tells whether a size of the disk or of one of its partitions could not be read.
func (p StoragePlaces) sizesUnread(partitions int) bool {
	places := []*config.At{p.field(p.Disk, "maxSize")}
	for i := range partitions {
		for _, key := range []string{"size", "start", "end"} {
			places = append(places, p.field(p.Partition(i), key))
		}
	}
	return slices.ContainsFunc(places, (*config.At).Broken)
}

// Check reports everything about the new disk that cannot be, whatever the image.
func (s *Storage) Check(p StoragePlaces) {
	s.checkPartitions(p)
	s.checkBoot(p)
	s.checkFilesystems(p)
	s.checkMounts(p)
}

func (s *Storage) checkPartitions(p StoragePlaces) {
	unread := p.sizesUnread(len(s.Disks[0].Partitions))
	d := s.Disks[0]
	ids := map[string]bool{}
	for i, part := range d.Partitions {
		at := p.Partition(i)
		if part.ID != "" && ids[part.ID] {
			p.field(at, "id").Errorf("two partitions are called %q", part.ID)
		}
		ids[part.ID] = true
		if part.End != 0 && (part.Size.Bytes != 0 || part.Size.Grow) {
			p.field(at, "end").Errorf("%s", endAndSize).Hint("keep one of them")
		}
		if why := badLabel(part.Label); why != "" {
			p.field(at, "label").Errorf("%s: %s", p.Key("label"), why)
		}
	}
	if unread { // they make no sense together
		return
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
	need := map[feature.BootType]PartitionType{feature.BootEFI: "esp", feature.BootLegacy: "bios-grub"}[s.BootType]
	if need != "" && !slices.ContainsFunc(s.Disks[0].Partitions, func(x Partition) bool { return x.is(need) }) {
		p.field(p.Root, "bootType").Errorf("%s %s needs a partition of type %s", p.Key("bootType"), s.BootType, need)
	}
	for i, part := range s.Disks[0].Partitions {
		at := p.field(p.Partition(i), "type")
		f, _ := s.filesystemOf(part.ID)
		switch {
		case part.is("esp") && (f == nil || f.Type.kernelName() != "vfat"):
			at.Errorf("the partition %q is an esp, which must hold a FAT filesystem", part.ID).Hint("give it a filesystem of type fat32, mounted at /boot/efi")
		case part.is("esp") && (f.MountPoint == nil || f.MountPoint.Path != feature.ESPMount):
			at.Errorf("the partition %q is an esp, which must be mounted at %s", part.ID, feature.ESPMount)
		case part.is("bios-grub") && f != nil && (f.Type != "" || f.MountPoint != nil):
			at.Errorf("the partition %q is a bios-grub, which holds no filesystem", part.ID)
		case part.is("swap") && f != nil && f.Type != "":
			at.Errorf("the partition %q is a swap, which holds no filesystem", part.ID).Hint("it is formatted and entered in /etc/fstab by itself")
		}
	}
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
		case f.MountPoint != nil && f.Type == "btrfs" && subvolumeOption(f.MountPoint.Options) != "" && (f.Btrfs == nil || len(f.Btrfs.Subvolumes) == 0):
			p.field(at, "mountPoint").Errorf("the option %q names a subvolume, but this btrfs has none", subvolumeOption(f.MountPoint.Options)).
				Hint("remove the option, or describe the subvolume in btrfs.subvolumes, with the mount point there")
		case f.Btrfs != nil && f.Type != "btrfs":
			p.field(at, "btrfs").Errorf("btrfs belongs to filesystems of type btrfs; this one is %q", string(f.Type))
		case f.Btrfs != nil:
			f.Btrfs.check(at.Field("btrfs"), f)
		}
	}
}

func subvolumeOption(options string) string {
	for o := range strings.SplitSeq(options, ",") {
		if strings.HasPrefix(o, "subvol") {
			return o
		}
	}
	return ""
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
			if c.MountPoint != nil && strings.HasPrefix(string(v.Path), string(c.Path)+"/") && feature.Below(c.MountPoint.Path, v.MountPoint.Path) {
				item.Field("mountPoint").Errorf("the subvolume %q lies in %q, and cannot be mounted above it", string(v.Path), string(c.Path))
			}
		}
	}
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
