package verify

import (
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
)

// feature is a bit in a superblock, and the first versions of the kernel and of GRUB that can use a
// filesystem with it. Empty: all. "-": none.
type feature struct {
	bit          uint32
	name         string
	kernel, grub string
}

// featureSet is one of a filesystem's masks of features.
type featureSet struct {
	fstype string
	at     int64 // in the partition
	order  binary.ByteOrder
	list   []feature
}

// featureSets: what must be understood to read, or to write, a filesystem. Bits and versions are those of
// the kernel's fs/*/ headers and history, and of GRUB's grub-core/fs.
var featureSets = []featureSet{
	{"ext4", 1024 + 96, binary.LittleEndian, []feature{
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
	{"ext4", 1024 + 100, binary.LittleEndian, []feature{
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
		{0x10000, "orphan_present", "5.15", ""},
	}},
	{"xfs", 216, binary.BigEndian, []feature{
		{0x1, "ftype", "", ""},
		{0x2, "sparse", "4.2", "2.04"},
		{0x4, "meta_uuid", "4.3", "2.04"},
		{0x8, "bigtime", "5.10", "2.06"},
		{0x20, "nrext64", "5.19", "2.12"},
		{0x40, "exchange", "6.10", "2.14"},
		{0x80, "parent", "6.10", "2.14"},
		{0x100, "metadir", "6.13", "-"},
	}},
	{"xfs", 212, binary.BigEndian, []feature{
		{0x1, "finobt", "3.16", ""}, {0x2, "rmapbt", "4.8", ""}, {0x4, "reflink", "4.9", ""}, {0x8, "inobtcount", "5.10", ""},
	}},
	{"btrfs", 65536 + 188, binary.LittleEndian, []feature{
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
	{"btrfs", 65536 + 180, binary.LittleEndian, []feature{
		{0x1, "free-space-tree", "4.5", ""}, {0x2, "free-space-tree-valid", "4.9", ""}, {0x4, "verity", "5.15", ""}, {0x8, "block-group-tree", "6.1", ""},
	}},
}

// patched are features that a distribution's GRUB can use although GRUB of that version cannot.
var patched = map[string][]string{
	"grub.debian": {"metadata_csum_seed", "large_dir", "nrext64"}, // of 2.06-13+deb12u2; tried
	"grub.fedora": {"metadata_csum_seed", "nrext64"},
	"grub.rh":     {"metadata_csum_seed", "nrext64"},
}

// features checks that the image's own kernels can use its filesystems, and its GRUB those that it
// reads from.
func features(s *system) []Finding {
	var found list
	grub, vendor := s.grubVersion()
	read := s.readByGRUB()
	for _, m := range s.Mounts {
		v := s.volume(m.Volume.Number)
		if v == nil || m.Path != s.firstMount(v) {
			continue
		}
		for _, f := range s.featuresOf(v) {
			for _, k := range s.kernels {
				if !f.usedBy(k.Version) {
					found.at("", 0, "the %s filesystem of %s (partition %d) has the feature %s, which the kernel %s cannot use", v.Content.Type, m.Path, v.Number, f.name, k.Version)
				}
			}
			if read[v.Number] != "" && grub != "" && !f.readBy(grub, vendor) {
				found.at("", 0, "the %s filesystem of %s (partition %d), which GRUB reads %s from, has the feature %s; the image's GRUB %s cannot read it", v.Content.Type, m.Path, v.Number, read[v.Number], f.name, grub)
			}
		}
	}
	s.holes(&found)
	return found
}

func (f feature) usedBy(kernel string) bool { return f.kernel != "-" && !older(kernel, f.kernel) }

// readBy tells whether a distribution's GRUB of some version reads a filesystem with the feature.
func (f feature) readBy(grub, vendor string) bool {
	return f.grub != "-" && !older(grub, f.grub) || slices.Contains(patched[vendor], f.name)
}

func (s *system) firstMount(v *disk.Volume) string {
	for _, m := range s.Mounts {
		if m.Volume.Number == v.Number {
			return m.Path
		}
	}
	return ""
}

// featuresOf are the features that are in use on a volume; those that are not in our lists are too new
// for everybody.
func (s *system) featuresOf(v *disk.Volume) (found []feature) {
	for _, set := range featureSets {
		if set.fstype != v.Content.Type && (set.fstype != "ext4" || !strings.HasPrefix(v.Content.Type, "ext")) {
			continue
		}
		word := make([]byte, 4)
		if _, err := s.Disk.ReadAt(word, v.Start+set.at); err != nil {
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
			found = append(found, feature{have, fmt.Sprintf("with the number %#x", have), "-", "-"})
		}
	}
	return found
}

// readByGRUB are the numbers of volumes that GRUB reads from, and one file that it reads there.
func (s *system) readByGRUB() map[int]string {
	read := map[int]string{}
	for _, file := range s.grubFiles() {
		read[s.mountOf(file).Volume.Number] = file
	}
	return read
}

// grubFiles are the files of the tree that GRUB must read.
func (s *system) grubFiles() (files []string) {
	if s.scheme.Config == "" {
		return nil
	}
	files = append(files, s.scheme.Config)
	for _, e := range s.menu.Entries {
		for _, r := range append([]boot.Ref{e.Kernel}, e.Initrds...) {
			if file, err := s.find(r); err == nil && !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	return files
}

// holes looks for files that GRUB cannot read on an xfs because they are sparse.
func (s *system) holes(found *list) {
	for _, file := range s.grubFiles() {
		if v := s.volume(s.mountOf(file).Volume.Number); v != nil && v.Content.Type == "xfs" && s.sparse(file) {
			found.at(file, 0, "the file has a hole, which GRUB cannot read on an xfs")
			found.hint("\"cp --sparse=never\" makes a copy without holes")
		}
	}
}

func (s *system) sparse(file string) bool {
	f, err := s.Root.Open(file, 0, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return false
	}
	hole, err := f.Seek(0, unix.SEEK_HOLE)
	return err == nil && hole < end
}

var (
	// moduleVersion is GRUB's version in its module normal, behind the text that it is printed with.
	moduleVersion = regexp.MustCompile(`GNU GRUB  version %s\x00+([0-9][^\x00]*)\x00`)
	versionNumber = regexp.MustCompile(`^\D*(\d+)\.(\d+)`)
)

// grubVersion is the version of the image's GRUB, and the component that names its distribution: from the
// program on the EFI system partition, else from its modules. Empty where it cannot be told.
func (s *system) grubVersion() (version, vendor string) {
	if version, vendor = s.sbatVersion(); version != "" {
		return version, vendor
	}
	dir := path.Dir(s.scheme.Config)
	for _, platform := range []string{"x86_64-efi", "i386-pc", "arm64-efi"} {
		if m := moduleVersion.FindStringSubmatch(s.text(path.Join(dir, platform, "normal.mod"))); m != nil {
			if strings.Contains(m[1], "deb") {
				vendor = "grub.debian"
			}
			return m[1], vendor
		}
	}
	return "", ""
}

func (s *system) sbatVersion() (version, vendor string) {
	names, ok := efiNames[s.Arch]
	if s.efi == nil || s.efi.dir == "" || !ok {
		return "", ""
	}
	f, err := s.Root.Open(s.fold(path.Join(s.efi.dir, "EFI/BOOT", names.second)), 0, 0)
	if err != nil {
		return "", ""
	}
	defer f.Close()
	p, err := boot.ReadEFIProgram(f)
	if err != nil {
		return "", ""
	}
	for _, l := range p.SBAT {
		switch {
		case l.Component == "grub":
			version = l.Version
		case strings.HasPrefix(l.Component, "grub.") && vendor == "":
			vendor = l.Component
		}
	}
	return version, vendor
}

// older compares the first two numbers of versions.
func older(version, than string) bool {
	a, b := versionNumber.FindStringSubmatch(version), versionNumber.FindStringSubmatch(than)
	if a == nil || b == nil {
		return false
	}
	return number(a[1]) < number(b[1]) || number(a[1]) == number(b[1]) && number(a[2]) < number(b[2])
}

func number(digits string) (n int) {
	for _, d := range digits {
		n = n*10 + int(d-'0')
	}
	return n
}
