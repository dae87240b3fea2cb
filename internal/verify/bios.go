package verify

import (
	"encoding/binary"
	"math"

	"imagecustomizer/internal/disk"
)

// GRUB's boot sector (its grub-core/boot/i386/pc/boot.S) has its name in it, and the number of the
// sector where its core image begins. That sector (diskboot.S) ends in a list of where the rest lies:
// entries of 12 bytes (first sector, count, segment) that go downwards to one of count 0.
const (
	sectorSize     = 512
	coreSectorAt   = 0x5c
	firstListAt    = sectorSize - 12
	listEntrySize  = 12
	maxListEntries = 20
)

// biosLoader checks that a BIOS finds GRUB: its boot sector, and its core image in the partition made for
// that or, on a disk with an MBR, before the first partition.
func biosLoader(s *system, found *list) {
	sector := make([]byte, sectorSize)
	_, _ = s.Disk.ReadAt(sector, 0)
	home := s.coreHome()
	switch {
	case !hasName(sector):
		if s.efi == nil {
			found.at("boot sector", 0, "the disk has neither GRUB's boot sector nor an EFI system partition: no firmware can start it")
		} else if home.number > 0 {
			found.warn("boot sector", 0, "partition %d is for GRUB's core image, but the boot sector does not start GRUB", home.number)
		}
	case home.end == 0:
		found.add(Finding{File: "boot sector", Text: "starts GRUB, but no partition is there for its core image", Warning: s.efi != nil})
	default:
		s.core(found, int64(min(binary.LittleEndian.Uint64(sector[coreSectorAt:]), math.MaxInt64/sectorSize)), home)
	}
}

func hasName(sector []byte) bool {
	for i := 0; i+4 <= 446; i++ {
		if string(sector[i:i+4]) == "GRUB" {
			return true
		}
	}
	return false
}

// home is where a core image may lie: bytes of the disk.
type home struct {
	start, end int64
	number     int // of the partition; 0 for the gap before the first one
}

func (s *system) coreHome() home {
	first := s.Size
	for _, v := range s.Volumes {
		if v.Partition.Type == disk.TypeBIOSBoot {
			return home{v.Start, v.Start + v.Size, v.Number}
		}
		first = min(first, v.Start)
	}
	if s.table.Kind == "mbr" {
		return home{sectorSize, first, 0}
	}
	return home{}
}

// core checks that the core image lies in its place, all of it, and is one.
func (s *system) core(found *list, at int64, h home) {
	if !h.holds(at, 1) {
		found.at("boot sector", 0, "starts GRUB's core image at sector %d, which is outside of the place for it (sectors %d to %d)", at, h.start/sectorSize, h.end/sectorSize-1)
		return
	}
	sector := make([]byte, sectorSize)
	if _, err := s.Disk.ReadAt(sector, at*sectorSize); err != nil || sector[0] == 0 {
		found.at("boot sector", 0, "starts GRUB's core image at sector %d, which is empty", at)
		return
	}
	for i := range maxListEntries {
		e := sector[firstListAt-i*listEntrySize:]
		start, count := int64(min(binary.LittleEndian.Uint64(e), math.MaxInt64/sectorSize)), int64(binary.LittleEndian.Uint16(e[8:]))
		if count == 0 {
			return
		}
		if !h.holds(start, count) {
			found.at("boot sector", 0, "GRUB's core image goes on at sector %d, which is outside of the place for it (sectors %d to %d)", start, h.start/sectorSize, h.end/sectorSize-1)
			return
		}
	}
}

func (h home) holds(sector, count int64) bool {
	return sector >= h.start/sectorSize && sector+count <= h.end/sectorSize
}
