package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strings"
	"unicode/utf16"
)

// Sizes of a new GPT (UEFI specification 2.10, 5.3): the entry array has 16 KiB.
const (
	gptEntryCount  = 128
	gptEntrySize   = 128
	gptEntriesSize = gptEntryCount * gptEntrySize
	gptRevision    = 0x00010000
)

// WriteGPT writes the table as a GPT with its backup and a protective MBR to a disk of size bytes.
// Boot code in the first sector stays.
func (t *Table) WriteGPT(w io.WriterAt, size int64) error {
	if err := t.check(size); err != nil {
		return err
	}
	entries, err := t.gptEntries()
	if err != nil {
		return err
	}
	sector := int64(t.SectorSize)
	last := size/sector - 1
	sectors := gptEntriesSize / sector
	h := gptHeader{
		Signature: [8]byte([]byte("EFI PART")), Revision: gptRevision, HeaderSize: uint32(binary.Size(gptHeader{})),
		FirstUsable: uint64(2 + sectors), LastUsable: uint64(last - sectors - 1),
		EntryCount: gptEntryCount, EntrySize: gptEntrySize, EntriesCRC: crc32.ChecksumIEEE(entries),
	}
	if h.DiskGUID, err = parseGUID(t.ID); err != nil {
		return err
	}
	main, backup := h, h
	main.MyLBA, main.AlternateLBA, main.EntriesLBA = 1, uint64(last), 2
	backup.MyLBA, backup.AlternateLBA, backup.EntriesLBA = uint64(last), 1, uint64(last-sectors)
	for _, part := range []struct {
		at   int64
		data []byte
	}{
		{bootCodeSize, protectiveMBR(last)},
		{2 * sector, entries}, {sector, main.bytes(t.SectorSize)},
		{int64(backup.EntriesLBA) * sector, entries}, {last * sector, backup.bytes(t.SectorSize)},
	} {
		if _, err := w.WriteAt(part.data, part.at); err != nil {
			return fmt.Errorf("write the partition table: %w", err)
		}
	}
	return nil
}

// bytes is the header as a sector, with its checksum.
func (h gptHeader) bytes(sector int) []byte {
	h.HeaderCRC = 0
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, h) // cannot fail: the type has a fixed size
	binary.LittleEndian.PutUint32(b.Bytes()[16:], crc32.ChecksumIEEE(b.Bytes()))
	return append(b.Bytes(), make([]byte, sector-b.Len())...)
}

func (t *Table) gptEntries() ([]byte, error) {
	array := make([]byte, gptEntriesSize)
	for _, p := range t.Partitions {
		if p.Number < 1 || p.Number > gptEntryCount {
			return nil, fmt.Errorf("partition %d has no place in a GPT of %d", p.Number, gptEntryCount)
		}
		e := gptEntry{
			First: uint64(p.Start) / uint64(t.SectorSize), Last: uint64(p.Start+p.Size)/uint64(t.SectorSize) - 1, Attributes: p.Attributes,
		}
		var err error
		if e.Type, err = parseGUID(p.Type); err != nil {
			return nil, err
		}
		if e.ID, err = parseGUID(p.UUID); err != nil {
			return nil, err
		}
		if name := utf16.Encode([]rune(p.Name)); copy(e.Name[:], name) < len(name) {
			return nil, fmt.Errorf("the name of partition %d is longer than %d characters", p.Number, len(e.Name))
		}
		var b bytes.Buffer
		_ = binary.Write(&b, binary.LittleEndian, e) // cannot fail: the type has a fixed size
		copy(array[(p.Number-1)*gptEntrySize:], b.Bytes())
	}
	return array, nil
}

// bootCodeSize is how much of the first sector is boot code; disk signature and partitions follow.
const bootCodeSize = 440

// protectiveMBR is the first sector behind the boot code: one partition of type 0xEE over the disk.
func protectiveMBR(last int64) []byte {
	const entry, signature = 446 - bootCodeSize, 510 - bootCodeSize
	b := make([]byte, mbrSize-bootCodeSize)
	copy(b[entry:], []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff})
	binary.LittleEndian.PutUint32(b[entry+8:], 1)
	binary.LittleEndian.PutUint32(b[entry+12:], uint32(min(last, math.MaxUint32)))
	b[signature], b[signature+1] = 0x55, 0xaa
	return b
}

// parseGUID is the inverse of GUID; the case of the digits does not matter.
func parseGUID(text string) (b [16]byte, err error) {
	var first uint32
	var second, third uint16
	var rest []byte
	if len(text) != 36 {
		return b, fmt.Errorf("%q is no GUID", text)
	}
	n, err := fmt.Sscanf(strings.ToLower(text[:18])+" "+text[19:23]+text[24:], "%08x-%04x-%04x %x", &first, &second, &third, &rest)
	if err != nil || n != 4 || len(rest) != 8 {
		return b, fmt.Errorf("%q is no GUID", text)
	}
	binary.LittleEndian.PutUint32(b[:], first)
	binary.LittleEndian.PutUint16(b[4:], second)
	binary.LittleEndian.PutUint16(b[6:], third)
	copy(b[8:], rest)
	return b, nil
}
