package grub

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Area is a stretch of a disk, in bytes.
type Area struct{ Start, Size int64 }

// Places in GRUB's images for BIOS (include/grub/i386/pc/boot.h and grub-core/boot/i386/pc of GRUB
// 2.06): in the first sector, what belongs to the partition table, and where the core image is; in the
// first sector of the core image, the list of what it consists of.
const (
	biosSector = 512

	bpbStart, bpbEnd     = 0x03, 0x5a   // parameters of a FAT filesystem that begins in this sector
	tableStart, tableEnd = 0x1b8, 0x1fe // disk signature and partition table
	kernelSector         = 0x5c
	driveCheck           = 0x66

	blockList = biosSector - 12 // sector, number of sectors, segment
)

// EmbedBIOS makes a disk boot on BIOS: GRUB's boot image goes to the first sector, around the
// partition table, and its core image, which knows where the rest of GRUB is, to the area.
func EmbedBIOS(disk interface {
	io.ReaderAt
	io.WriterAt
}, bootImage, core []byte, area Area,
) error {
	first := make([]byte, biosSector)
	if _, err := disk.ReadAt(first, 0); err != nil {
		return err
	}
	sectors := (len(core) + biosSector - 1) / biosSector
	switch {
	case len(bootImage) != biosSector:
		return fmt.Errorf("GRUB's boot image has %d bytes instead of %d", len(bootImage), biosSector)
	case len(core) < 2*biosSector:
		return errors.New("GRUB's core image is too short")
	case area.Start%biosSector != 0 || int64(sectors)*biosSector > area.Size:
		return fmt.Errorf("GRUB's core image has %d bytes, for which there are only %d", len(core), area.Size)
	}
	start := uint64(area.Start / biosSector)
	image := append([]byte(nil), bootImage...)
	copy(image[bpbStart:bpbEnd], first[bpbStart:bpbEnd])
	copy(image[tableStart:tableEnd], first[tableStart:tableEnd])
	binary.LittleEndian.PutUint64(image[kernelSector:], start)
	copy(image[driveCheck:], []byte{0x90, 0x90}) // trust the BIOS about which disk it booted: no floppies

	padded := make([]byte, sectors*biosSector)
	copy(padded, core)
	binary.LittleEndian.PutUint64(padded[blockList:], start+1)
	binary.LittleEndian.PutUint16(padded[blockList+8:], uint16(sectors-1))
	if _, err := disk.WriteAt(padded, area.Start); err != nil {
		return fmt.Errorf("write GRUB's core image: %w", err)
	}
	if _, err := disk.WriteAt(image, 0); err != nil {
		return fmt.Errorf("write GRUB's boot image: %w", err)
	}
	return nil
}

// StartsGRUB tells whether a BIOS would start GRUB from the disk: its boot image has its name in it.
func StartsGRUB(disk io.ReaderAt) bool {
	first := make([]byte, tableStart)
	_, _ = disk.ReadAt(first, 0)
	return bytes.Contains(first, []byte("GRUB"))
}
