package disk

import (
	"encoding/binary"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Feature is a bit in the superblock of a filesystem, and the first versions of the kernel and of GRUB that
// can use a filesystem with it. Empty: all. "-": none.
type Feature struct {
	bit          uint32
	Name         string // in the words of mkfs
	kernel, grub string
}

// featureSet is one of a filesystem's masks of features.
type featureSet struct {
	fstype string
	at     int64 // in the partition
	order  binary.ByteOrder
	list   []Feature
}

// featureSets: what must be understood to read, or to write, a filesystem. Bits and versions are those of
// the kernel's fs/*/ headers and history, and of GRUB's grub-core/fs.
var featureSets = []featureSet{
	{"ext4", 1024 + 96, binary.LittleEndian, []Feature{
		{0x2, "filetype", "", ""},
		{0x4, "recover", "", ""},
		{0x10, "meta_bg", "", ""},
		{0x40, "extent", "", ""},
		{0x80, "64bit", "", ""},
		{0x100, "mmp", "3.0", ""},
		{0x200, "flex_bg", "", ""},
		{0x400, "ea_inode", "4.13", "-"},
		{0x2000, "metadata_csum_seed", "4.4", "2.12"},
		{0x4000, "large_dir", "4.13", "2.12"},
		{0x8000, "inline_data", "3.8", "-"},
		{0x10000, "encrypt", "4.1", "2.04"},
		{0x20000, "casefold", "5.2", "-"},
	}},
	{"ext4", 1024 + 100, binary.LittleEndian, []Feature{
		{0x1, "sparse_super", "", ""},
		{0x2, "large_file", "", ""},
		{0x8, "huge_file", "", ""},
		{0x10, "uninit_bg", "", ""},
		{0x20, "dir_nlink", "", ""},
		{0x40, "extra_isize", "", ""},
		{0x100, "quota", "3.6", ""},
		{0x200, "bigalloc", "3.2", "-"},
		{0x400, "metadata_csum", "3.18", ""},
		{0x1000, "read-only", "4.0", ""},
		{0x2000, "project", "4.5", ""},
		{0x8000, "verity", "5.4", ""},
		{0x10000, "orphan_file", "5.15", ""},
	}},
	{"xfs", 216, binary.BigEndian, []Feature{
		{0x1, "ftype", "", ""},
		{0x2, "sparse", "4.2", "2.04"},
		{0x4, "meta_uuid", "4.3", "2.04"},
		{0x8, "bigtime", "5.10", "2.06"},
		{0x20, "nrext64", "5.19", "2.12"},
		{0x40, "exchange", "6.10", "2.14"},
		{0x80, "parent", "6.10", "2.14"},
		{0x100, "metadir", "6.13", "-"},
	}},
	{"xfs", 212, binary.BigEndian, []Feature{
		{0x1, "finobt", "3.16", ""}, {0x2, "rmapbt", "4.8", ""}, {0x4, "reflink", "4.9", ""}, {0x8, "inobtcount", "5.10", ""},
	}},
	{"btrfs", 65536 + 188, binary.LittleEndian, []Feature{
		{0x1, "mixed-backref", "", ""},
		{0x2, "default-subvol", "", ""},
		{0x4, "mixed-bg", "", ""},
		{0x8, "compress-lzo", "", ""},
		{0x10, "compress-zstd", "4.14", "2.04"},
		{0x20, "big-metadata", "", ""},
		{0x40, "extref", "3.7", ""},
		{0x80, "raid56", "3.9", "2.04"},
		{0x100, "skinny-metadata", "3.10", ""},
		{0x200, "no-holes", "3.14", ""},
		{0x400, "metadata-uuid", "5.0", ""},
		{0x800, "raid1c34", "5.5", "2.06"},
		{0x1000, "zoned", "5.12", "-"},
		{0x4000, "raid-stripe-tree", "6.7", "-"},
		{0x10000, "squota", "6.7", ""},
	}},
	{"btrfs", 65536 + 180, binary.LittleEndian, []Feature{
		{0x1, "free-space-tree", "4.5", ""}, {0x2, "free-space-tree-valid", "4.9", ""}, {0x4, "verity", "5.15", ""}, {0x8, "block-group-tree", "6.1", ""},
	}},
}

// patched are features that a distribution's GRUB can use although GRUB of that version cannot.
var patched = map[string][]string{
	"grub.debian": {"metadata_csum_seed", "large_dir", "nrext64"}, // of 2.06-13+deb12u2; tried
	"grub.fedora": {"metadata_csum_seed", "nrext64"},
	"grub.rh":     {"metadata_csum_seed", "nrext64"},
}

// FeatureNamed finds a feature of a kind of filesystem. One that is in no mask is read and written by all.
func FeatureNamed(kind, name string) Feature {
	for _, set := range featureSets {
		for _, f := range set.list {
			if set.fstype == kind && f.Name == name {
				return f
			}
		}
	}
	return Feature{Name: name}
}

// FeaturesOf are the features that are in use on a volume of a disk; those that are not in our lists are too
// new for everybody.
func FeaturesOf(d io.ReaderAt, v *Volume) (found []Feature) {
	for _, set := range featureSets {
		if set.fstype != v.Content.Type && (set.fstype != "ext4" || !strings.HasPrefix(v.Content.Type, "ext")) {
			continue
		}
		word := make([]byte, 4)
		if _, err := d.ReadAt(word, v.Start+set.at); err != nil {
			continue
		}
		have := set.order.Uint32(word)
		for _, f := range set.list {
			if have&f.bit != 0 {
				found = append(found, f)
			}
			have &^= f.bit
		}
		if have != 0 {
			found = append(found, Feature{have, fmt.Sprintf("with the number %#x", have), "-", "-"})
		}
	}
	return found
}

// UsedBy tells whether a kernel of some version can use a filesystem with the feature.
func (f Feature) UsedBy(kernel string) bool { return f.kernel != "-" && !older(kernel, f.kernel) }

// ReadBy tells whether a distribution's GRUB of some version reads a filesystem with the feature. The
// distribution is named as in the SBAT of the program, such as grub.debian.
func (f Feature) ReadBy(grub, vendor string) bool {
	return f.grub != "-" && !older(grub, f.grub) || slices.Contains(patched[vendor], f.Name)
}

var versionNumber = regexp.MustCompile(`^\D*(\d+)\.(\d+)`)

// older compares the first two numbers of versions.
func older(version, than string) bool {
	a, b := versionNumber.FindStringSubmatch(version), versionNumber.FindStringSubmatch(than)
	return a != nil && b != nil && slices.Compare(Version(a[1]+"."+a[2]), Version(b[1]+"."+b[2])) < 0
}
