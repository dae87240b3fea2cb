package disk

import "slices"

// Layout is a disk that is to be made, or to be made of one, with all its identifiers.
type Layout struct {
	Size        int64 // bytes
	Table       Table
	Kept        int // how many partitions, the first ones, are those of the disk as it is; 0 for a new disk
	Filesystems []Format
	Mounts      []LayoutMount // the root first, parents before what lies in them
	Swaps       []Entry       // further lines of /etc/fstab
}

// LayoutMount is where a filesystem of a layout is mounted.
type LayoutMount struct {
	Entry     Entry // for /etc/fstab
	Partition int
	Subvolume string // of a btrfs
}

// Format is a filesystem that is to be made. Features are those it is to have, in the words of its
// mkfs; what else that would add by itself stays off.
type Format struct {
	Partition  int
	Type       string // ext4, xfs, btrfs, vfat or swap
	UUID       string // as fstab spells it
	Label      string // of an xfs
	Size       int64  // bytes; 0 fills the partition
	Block      int    // size of sectors that the device will have, if they are larger than now
	Features   []string
	Subvolumes []Subvolume
}

// Subvolume is a subvolume of a btrfs that is to be made.
type Subvolume struct {
	Path                  string
	Referenced, Exclusive int64 // limits in bytes; 0 for none
}

// Partition returns the partition of this number.
func (l *Layout) Partition(number int) Partition {
	for _, p := range l.Table.Partitions {
		if p.Number == number {
			return p
		}
	}
	return Partition{}
}

// Format returns what a partition is to hold.
func (l *Layout) Format(partition int) Format {
	for _, f := range l.Filesystems {
		if f.Partition == partition {
			return f
		}
	}
	return Format{}
}

// Mounted tells whether something is mounted exactly at a path.
func (l *Layout) Mounted(target string) bool {
	return slices.ContainsFunc(l.Mounts, func(m LayoutMount) bool { return m.Entry.Target == target })
}
