package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// Content is what a partition holds, read off its superblock. Names are blkid's.
type Content struct {
	Type  string // ext4, xfs, btrfs, vfat, swap, crypto_LUKS, LVM2_member, ...; empty if unknown
	UUID  string // as fstab spells it
	Label string
}

// signature is a filesystem told by a text at a fixed place.
type signature struct {
	name   string
	offset int64
	magic  string
	read   func(super []byte, c *Content) // super starts at base
	base   int64
}

// signatures, in the order they are looked for. Places are those of each format's own
// documentation (the kernel's Documentation/filesystems, the LUKS and LVM on-disk formats).
var signatures = []signature{
	{"crypto_LUKS", 0, "LUKS\xba\xbe", readLUKS, 0},
	{"LVM2_member", 512, "LABELONE", nil, 0},
	{"DM_verity_hash", 0, "verity\x00\x00", nil, 0},
	{"xfs", 0, "XFSB", readXFS, 0},
	{"squashfs", 0, "hsqs", nil, 0},
	{"ext4", 1024 + 56, "\x53\xef", readExt, 1024},
	{"erofs", 1024, "\xe2\xe1\xf5\xe0", nil, 1024},
	{"btrfs", 65536 + 64, "_BHRfS_M", readBtrfs, 65536},
	{"swap", 4096 - 10, "SWAPSPACE2", readSwap, 1024},
	{"iso9660", 32769, "CD001", nil, 0},
	{"vfat", 82, "FAT32   ", readFAT32, 0},
	{"vfat", 54, "FAT1", readFAT16, 0},
}

// Probe tells what a partition holds.
func Probe(r io.ReaderAt) Content {
	for _, s := range signatures {
		magic := make([]byte, len(s.magic))
		if _, err := r.ReadAt(magic, s.offset); err != nil || string(magic) != s.magic {
			continue
		}
		c := Content{Type: s.name}
		if s.read != nil {
			super := make([]byte, 1024)
			if n, _ := r.ReadAt(super, s.base); n == len(super) {
				s.read(super, &c)
			}
		}
		return c
	}
	return Content{}
}

func dashed(b []byte) string {
	if bytes.Count(b, []byte{0}) == len(b) {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return strings.TrimRight(s, " ")
}

// Feature bits that tell ext2, ext3 and ext4 apart (Documentation/filesystems/ext4/super.rst).
const (
	extHasJournal   = 0x4    // compat
	extIncompatExt3 = 0x1016 // incompat bits ext3 knows: filetype, recover, journal_dev, meta_bg
	extROExt3       = 0x7    // ro_compat bits ext3 knows: sparse_super, large_file, btree_dir
)

func readExt(s []byte, c *Content) {
	compat, incompat, ro := binary.LittleEndian.Uint32(s[92:]), binary.LittleEndian.Uint32(s[96:]), binary.LittleEndian.Uint32(s[100:])
	switch {
	case incompat&^extIncompatExt3 != 0 || ro&^extROExt3 != 0:
		c.Type = "ext4"
	case compat&extHasJournal != 0:
		c.Type = "ext3"
	default:
		c.Type = "ext2"
	}
	c.UUID, c.Label = dashed(s[104:120]), text(s[120:136])
}

func readXFS(s []byte, c *Content)   { c.UUID, c.Label = dashed(s[32:48]), text(s[108:120]) }
func readBtrfs(s []byte, c *Content) { c.UUID, c.Label = dashed(s[32:48]), text(s[299:555]) }
func readSwap(s []byte, c *Content)  { c.UUID, c.Label = dashed(s[12:28]), text(s[28:44]) }
func readLUKS(s []byte, c *Content)  { c.UUID = text(s[168:208]) }

func readFAT32(s []byte, c *Content) { c.UUID, c.Label = fatID(s[67:]), fatLabel(s[71:82]) }
func readFAT16(s []byte, c *Content) { c.UUID, c.Label = fatID(s[39:]), fatLabel(s[43:54]) }

func fatID(b []byte) string { return fmt.Sprintf("%02X%02X-%02X%02X", b[3], b[2], b[1], b[0]) }

func fatLabel(b []byte) string {
	if l := text(b); l != "NO NAME" {
		return l
	}
	return ""
}
