package disk

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// Content is what a partition holds, read off its superblock, in blkid's spelling.
type Content struct {
	Type  string // ext4, xfs, btrfs, vfat, swap, crypto_LUKS, LVM2_member, ...; empty if unknown
	UUID  string // as fstab spells it
	Label string
	Block int // smallest size of a read that a device must allow for it, in bytes; 0 where it is not known
}

// signature is a format told by a text at a fixed place.
type signature struct {
	name  string
	at    int64 // of the magic, bytes from the partition's start
	magic string
	base  int64 // of the superblock
	read  func(r io.ReaderAt, super []byte, c *Content)
}

// signatures, in the order they are looked for. Where things lie is what each format's own document
// says: the LUKS1 and LUKS2 on-disk formats, cryptsetup's wiki (verity), lvm2's doc/, the kernel's
// Documentation/filesystems and fs/ headers, ECMA-119 (iso9660), Microsoft's FAT specification.
var signatures = append([]signature{
	{"crypto_LUKS", 0, "LUKS\xba\xbe", 0, readLUKS},
	{"DM_verity_hash", 0, "verity\x00\x00", 0, func(_ io.ReaderAt, s []byte, c *Content) { c.UUID = dashed(s[16:32]) }},
	{"xfs", 0, "XFSB", 0, readXFS},
	{"squashfs", 0, "hsqs", 0, nil},
	{"ext4", 1024 + 56, "\x53\xef", 1024, readExt},
	{"erofs", 1024, "\xe2\xe1\xf5\xe0", 1024, func(_ io.ReaderAt, s []byte, c *Content) { c.UUID, c.Label = dashed(s[48:64]), text(s[64:80]) }},
	{"btrfs", 65536 + 64, "_BHRfS_M", 65536, func(_ io.ReaderAt, s []byte, c *Content) { c.UUID, c.Label = dashed(s[32:48]), text(s[299:555]) }},
	{"iso9660", 32769, "CD001", 32768, readISO},
	{"vfat", 82, "FAT32   ", 0, readFAT},
	{"vfat", 54, "FAT1", 0, readFAT},
}, append(lvmSignatures(), swapSignatures()...)...)

// lvmSignatures: a physical volume's label may lie in any of the first four sectors.
func lvmSignatures() (list []signature) {
	for at := int64(0); at < 4*512; at += 512 {
		list = append(list, signature{"LVM2_member", at, "LABELONE", at, readLVM})
	}
	return list
}

// swapSignatures: the magic ends the first page, whose size is the machine's.
func swapSignatures() (list []signature) {
	for page := int64(4096); page <= 65536; page *= 2 {
		list = append(list, signature{"swap", page - 10, "SWAPSPACE2", 1024, func(_ io.ReaderAt, s []byte, c *Content) {
			c.UUID, c.Label = dashed(s[12:28]), text(s[28:44])
		}})
	}
	return list
}

// Probe tells what a partition holds.
func Probe(r io.ReaderAt) Content {
	for _, s := range signatures {
		magic := make([]byte, len(s.magic))
		if _, err := r.ReadAt(magic, s.at); err != nil || string(magic) != s.magic {
			continue
		}
		c := Content{Type: s.name}
		super := make([]byte, 1024)
		if n, _ := r.ReadAt(super, s.base); n == len(super) && s.read != nil {
			s.read(r, super, &c)
		}
		return c
	}
	return Content{}
}

// dashed spells 16 bytes as a UUID; all zero means that there is none.
func dashed(b []byte) string {
	if [16]byte(b) == [16]byte{} {
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
	extHasJournal   = 0x4              // compat
	extJournalDev   = 0x8              // incompat: an external journal, no filesystem
	extIncompatExt3 = 0x2 | 0x4 | 0x10 // incompat bits ext3 knows: filetype, recover, meta_bg
	extROExt3       = 0x1 | 0x2 | 0x4  // ro_compat bits ext3 knows: sparse_super, large_file, btree_dir
)

func readExt(_ io.ReaderAt, s []byte, c *Content) {
	compat, incompat, ro := binary.LittleEndian.Uint32(s[92:]), binary.LittleEndian.Uint32(s[96:]), binary.LittleEndian.Uint32(s[100:])
	switch {
	case incompat&extJournalDev != 0:
		c.Type = "jbd"
	case incompat&^extIncompatExt3 != 0 || ro&^extROExt3 != 0:
		c.Type = "ext4"
	case compat&extHasJournal != 0:
		c.Type = "ext3"
	default:
		c.Type = "ext2"
	}
	c.UUID, c.Label = dashed(s[104:120]), text(s[120:136])
	if c.Type != "jbd" {
		c.Block = 1024 << min(s[24], 6) // 64 KiB is the most
	}
}

// readXFS takes the sector size for the block: blocks are made of them.
func readXFS(_ io.ReaderAt, s []byte, c *Content) {
	c.UUID, c.Label, c.Block = dashed(s[32:48]), text(s[108:120]), int(binary.BigEndian.Uint16(s[102:]))
}

func readLUKS(_ io.ReaderAt, s []byte, c *Content) {
	c.UUID = text(s[168:208])
	if binary.BigEndian.Uint16(s[6:]) == 2 {
		c.Label = text(s[24:72])
	}
}

// readLVM reads the identifier of a physical volume, 32 characters written in groups.
func readLVM(_ io.ReaderAt, s []byte, c *Content) {
	at := binary.LittleEndian.Uint32(s[20:])
	if at > uint32(len(s)-32) {
		return
	}
	id := string(s[at : at+32])
	c.UUID = strings.Join([]string{id[:6], id[6:10], id[10:14], id[14:18], id[18:22], id[22:26], id[26:]}, "-")
}

// readISO takes the time of modification for an identifier, as blkid does.
func readISO(_ io.ReaderAt, s []byte, c *Content) {
	d := string(s[830:846])
	if strings.Trim(d, "0") == "" {
		d = string(s[813:829])
	}
	c.UUID = strings.Join([]string{d[:4], d[4:6], d[6:8], d[8:10], d[10:12], d[12:14], d[14:16]}, "-")
	c.Label = text(s[40:72])
}

// readFAT reads the serial number, and the label, which is an entry of the root folder; the copy of
// it in the first sector counts only where there is no such entry.
func readFAT(r io.ReaderAt, s []byte, c *Content) {
	serial, label := s[39:43], s[43:54]
	sector := int64(binary.LittleEndian.Uint16(s[11:]))
	fatSize := int64(binary.LittleEndian.Uint16(s[22:]))
	rootSize := int64(binary.LittleEndian.Uint16(s[17:])) * 32
	cluster := int64(0)
	if fatSize == 0 { // FAT32, whose root folder is a chain of clusters: only the first is looked at
		serial, label = s[67:71], s[71:82]
		fatSize = int64(binary.LittleEndian.Uint32(s[36:]))
		rootSize = int64(s[13]) * sector
		cluster = int64(binary.LittleEndian.Uint32(s[44:])) - 2
	}
	reserved, fats := int64(binary.LittleEndian.Uint16(s[14:])), int64(s[16])
	c.UUID = fmt.Sprintf("%02X%02X-%02X%02X", serial[3], serial[2], serial[1], serial[0])
	if c.Label = fatRootLabel(r, (reserved+fats*fatSize)*sector+cluster*rootSize, rootSize); c.Label == "" {
		if c.Label = text(label); c.Label == "NO NAME" {
			c.Label = ""
		}
	}
}

// fatRootLabel looks for the volume label among the entries of a root folder.
func fatRootLabel(r io.ReaderAt, at, size int64) string {
	const volume, longName, deleted = 0x08, 0x0f, 0xe5
	if size <= 0 || size > 1<<20 {
		return ""
	}
	dir := make([]byte, size)
	n, _ := r.ReadAt(dir, at)
	for e := dir[:n]; len(e) >= 32 && e[0] != 0; e = e[32:] {
		if attr := e[11] & 0x3f; attr&longName != longName && attr&volume != 0 && e[0] != deleted {
			return text(e[:11])
		}
	}
	return ""
}
