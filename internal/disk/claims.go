package disk

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Claim is what an entry of an fstab means in an image.
type Claim struct {
	Entry
	Use    Use
	Volume *Volume // that is mounted; nil where none is, or only the running system makes it
	Why    string  // what is wrong with the entry, or why it means another disk; empty where nothing is
	Fatal  bool    // Why keeps the image from being opened
	Own    bool    // it means the image's own disk
}

// vital are the mount points without which nothing of a system can be changed, or boots.
var vital = []string{"/", "/usr", "/etc", "/var", "/boot", "/boot/efi", "/efi"}

// loaders are those of them that lie on the disk that the firmware boots from. Who changes an image changes
// them, also where the running system mounts them on demand only.
var loaders = []string{"/", "/usr", "/boot", "/boot/efi", "/efi"}

// verityNodes are devices that the initramfs makes of partitions of the image, as the kernel arguments say.
var verityNodes = []string{"/dev/mapper/root", "/dev/mapper/usr"}

// Claims tells what each entry means in an image with these volumes. A name that numbers disks or describes
// their hardware says nothing about what they hold: it is the image's own disk only where the system boots
// from it, or where it is the first of its kind.
func (f Fstab) Claims(volumes []Volume) []Claim {
	own := f.ownDisks()
	var list []Claim
	for _, e := range f.Entries() {
		c := Claim{Entry: e, Use: e.Use()}
		if c.Use == Mount || c.Use == Swap {
			c.settle(volumes, own, list)
		}
		list = append(list, c)
	}
	return list
}

// ownDisks are the names by which the fstab calls the disk that the system boots from.
func (f Fstab) ownDisks() []string {
	var own []string
	for _, e := range f.Entries() {
		if disk, _, ok := partition(e.Source); ok && slices.Contains(loaders, e.Target) && !otherDisk(disk) {
			own = append(own, disk)
		}
	}
	if len(own) == 0 {
		return firstDisks
	}
	return own
}

// settle looks which volume the entry means.
func (c *Claim) settle(volumes []Volume, own []string, before []Claim) {
	c.Own = true
	if slices.Contains(verityNodes, c.Source) {
		return
	}
	disk, number, byDisk := partition(c.Source)
	if byDisk && (number == 0 || !slices.Contains(own, disk)) {
		c.elsewhere("%s is another disk than the one that the system boots from", c.Source)
		return
	}
	v, err := Find(volumes, c.Source)
	if err != nil {
		c.elsewhere("%v", err)
		c.Own = c.Own || byDisk && c.Use == Swap // a number without a partition
		return
	}
	c.Volume = v
	if !byDisk || c.Use == Swap && v.Content.Type == "swap" {
		return
	}
	if !SameType(c.Type, v.Content.Type) || v.Content.Type == "" || v.Content.Type == "swap" {
		c.elsewhere("%s is said to hold %s, which partition %d does not", c.Source, c.Type, v.Number)
	}
	for _, b := range before {
		if b.Volume != nil && b.Volume.Number == v.Number && !c.shares(b) {
			c.elsewhere("partition %d, which %s would be, is mounted at %s already", v.Number, c.Source, b.Target)
		}
	}
}

// shares tells whether two entries mean to mount parts of one filesystem.
func (c *Claim) shares(b Claim) bool {
	return c.Target == b.Target || c.Volume.Content.Type == "btrfs" && slices.ContainsFunc(c.Options, func(o string) bool {
		return strings.HasPrefix(o, "subvol")
	})
}

// elsewhere makes the entry one of a disk that the image gets where it runs.
func (c *Claim) elsewhere(format string, args ...any) {
	c.Volume, c.Why, c.Own = nil, fmt.Sprintf(format, args...), false
	switch {
	case c.Use == Swap: // nothing is written there
	case !slices.Contains(vital, c.Target):
		c.Use = Data
	case c.Optional():
		c.Use = Ignore // what is below its mount point is used where it does not come
	default:
		c.Fatal, c.Own = true, true
	}
}

// ByDisk tells whether the entry means another disk than the image's own by the name of a disk.
func (c *Claim) ByDisk() bool {
	_, _, byDisk := partition(c.Source)
	return byDisk && (c.Use == Data || c.Volume == nil && c.Why != "")
}

// SameType tells whether a filesystem of one type can be mounted as the other.
func SameType(says, is string) bool {
	ext := []string{"ext2", "ext3", "ext4"}
	fat := []string{"vfat", "msdos", "fat"}
	for one := range strings.SplitSeq(says, ",") { // mount tries a list in its order
		if one == "auto" || one == is || slices.Contains(ext, one) && slices.Contains(ext, is) || slices.Contains(fat, one) && is == "vfat" {
			return true
		}
	}
	return false
}

// firstDisks are the names of a machine's first disk, which an image is made for.
var firstDisks = []string{
	"sda", "vda", "xvda", "hda", "dasda", "ubda", "nvme0n1", "mmcblk0", "nbd0", "pmem0",
	"disk/azure/root", "disk/azure/os", "disk/cloud/azure_root", "disk/by-id/google-persistent-disk-0",
}

// otherDisk tells whether a name is always that of a further disk.
func otherDisk(disk string) bool {
	return !slices.Contains(firstDisks, disk) && (strings.HasPrefix(disk, "disk/azure/") || strings.HasPrefix(disk, "disk/cloud/"))
}

// partition takes a device name apart that says on which disk a partition lies and which one it is there;
// the number is 0 for the whole disk.
func partition(source string) (disk string, number int, ok bool) {
	m := numbered.FindStringSubmatch(source)
	if m == nil {
		return "", 0, false
	}
	for i := 1; i < len(m); i += 2 {
		if m[i] != "" {
			number, _ = strconv.Atoi(m[i+1]) // at most three digits
			return m[i], number, true
		}
	}
	return "", 0, false
}
