package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
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
		Signature: [8]byte([]byte("EFI PART")), Revision: gptRevision,
		FirstUsable: uint64(2 + sectors), LastUsable: uint64(last - sectors - 1),
		EntryCount: gptEntryCount, EntrySize: gptEntrySize, EntriesCRC: crc32.ChecksumIEEE(entries),
	}
	if h.DiskGUID, err = ParseGUID(t.ID); err != nil {
		return err
	}
	main, backup := h, h
	main.MyLBA, main.AlternateLBA, main.EntriesLBA = 1, uint64(last), 2
	backup.MyLBA, backup.AlternateLBA, backup.EntriesLBA = uint64(last), 1, uint64(last-sectors)
	if _, err := w.WriteAt(protectiveMBR(last), bootCodeSize); err != nil {
		return fmt.Errorf("write the partition table: %w", err)
	}
	for _, h := range []gptHeader{main, backup} {
		if err := (gptDisk{sector: t.SectorSize}).write(w, h, entries); err != nil {
			return fmt.Errorf("write the partition table: %w", err)
		}
	}
	return nil
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
		if e.Type, err = ParseGUID(p.Type); err != nil {
			return nil, err
		}
		if e.ID, err = ParseGUID(p.UUID); err != nil {
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
