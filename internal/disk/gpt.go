package disk

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf16"
)

// gptHeader is the header of UEFI specification 2.10, 5.3.2.
type gptHeader struct {
	Signature    [8]byte
	Revision     uint32
	HeaderSize   uint32
	HeaderCRC    uint32
	_            uint32
	MyLBA        uint64
	AlternateLBA uint64
	FirstUsable  uint64
	LastUsable   uint64
	DiskGUID     [16]byte
	EntriesLBA   uint64
	EntryCount   uint32
	EntrySize    uint32
	EntriesCRC   uint32
}

// gptEntry is a partition entry of UEFI specification 2.10, 5.3.3.
type gptEntry struct {
	Type       [16]byte
	ID         [16]byte
	First      uint64
	Last       uint64
	Attributes uint64
	Name       [36]uint16
}

// maxEntriesSize bounds the entry array in bytes; the usual one has 16 KiB.
const maxEntriesSize = 1 << 20

// gptDisk is a disk on which a GPT is looked for with one sector size.
type gptDisk struct {
	r      io.ReaderAt
	size   int64 // bytes
	sector int   // bytes
}

// findGPT reads a GPT of either sector size.
func findGPT(r io.ReaderAt, size int64) (*Table, error) {
	var damage error
	for _, sector := range []int{512, 4096} {
		t, err := gptDisk{r, size, sector}.read()
		if err == nil || errors.Is(err, ErrTruncated) {
			return t, err
		}
		if !errors.Is(err, ErrNoTable) {
			damage = err
		}
	}
	if damage == nil {
		damage = errors.New("neither of them is there")
	}
	return nil, fmt.Errorf("the GPT of the image cannot be read, nor can its backup: %w", damage)
}

// read prefers the primary GPT and compares it with the backup.
func (d gptDisk) read() (*Table, error) {
	last := uint64(d.size/int64(d.sector)) - 1
	main, entries, err := d.header(1)
	if err != nil {
		backup, entries, backupErr := d.header(last)
		if backupErr != nil {
			return nil, err
		}
		t, tableErr := d.table(backup, entries)
		if tableErr == nil {
			t.damaged("the primary GPT is damaged (%v); its backup is used", err)
		}
		return t, tableErr
	}
	if main.AlternateLBA > last {
		return nil, fmt.Errorf("%w: its GPT says that it has at least %d sectors of %d bytes, but it has only %d", ErrTruncated, main.AlternateLBA+1, d.sector, last+1)
	}
	t, err := d.table(main, entries)
	if err != nil {
		return nil, err
	}
	switch _, backup, err := d.header(main.AlternateLBA); {
	case err != nil:
		t.damaged("the backup GPT is damaged or missing: %v", err)
	case !bytes.Equal(entries, backup):
		t.damaged("the backup GPT lists other partitions than the primary one, which is used")
	}
	return t, nil
}

func (t *Table) damaged(format string, args ...any) {
	t.Damaged = true
	t.Warnings = append(t.Warnings, fmt.Sprintf(format, args...))
}

// header reads and checks the header at a sector, and its entries. ErrNoTable means that there is
// none.
func (d gptDisk) header(lba uint64) (h gptHeader, entries []byte, err error) {
	buf := make([]byte, d.sector)
	if _, err := d.r.ReadAt(buf, int64(lba)*int64(d.sector)); err != nil {
		return h, nil, ErrNoTable
	}
	if _, err := binary.Decode(buf, binary.LittleEndian, &h); err != nil || string(h.Signature[:]) != "EFI PART" {
		return h, nil, ErrNoTable
	}
	if h.HeaderSize < uint32(binary.Size(h)) || int64(h.HeaderSize) > int64(d.sector) {
		return h, nil, fmt.Errorf("its header says it has %d bytes", h.HeaderSize)
	}
	clear(buf[16:20])
	if crc32.ChecksumIEEE(buf[:h.HeaderSize]) != h.HeaderCRC {
		return h, nil, errors.New("the checksum of its header is wrong")
	}
	if h.MyLBA != lba {
		return h, nil, fmt.Errorf("its header is that of sector %d, but lies at %d", h.MyLBA, lba)
	}
	entries, err = d.entries(h)
	return h, entries, err
}

func (d gptDisk) entries(h gptHeader) ([]byte, error) {
	if h.EntrySize < 128 || h.EntrySize%8 != 0 || uint64(h.EntryCount)*uint64(h.EntrySize) > maxEntriesSize {
		return nil, fmt.Errorf("its header says it has %d entries of %d bytes", h.EntryCount, h.EntrySize)
	}
	if h.EntriesLBA > uint64(d.size/int64(d.sector)) {
		return nil, errors.New("its entries would lie outside the disk")
	}
	entries := make([]byte, h.EntryCount*h.EntrySize)
	if _, err := d.r.ReadAt(entries, int64(h.EntriesLBA)*int64(d.sector)); err != nil {
		return nil, fmt.Errorf("its entries cannot be read: %w", err)
	}
	if crc32.ChecksumIEEE(entries) != h.EntriesCRC {
		return nil, errors.New("the checksum of its entries is wrong")
	}
	return entries, nil
}

func (d gptDisk) table(h gptHeader, entries []byte) (*Table, error) {
	t := &Table{Kind: "gpt", SectorSize: d.sector, ID: GUID(h.DiskGUID)}
	for i := range int(h.EntryCount) {
		var e gptEntry
		if _, err := binary.Decode(entries[i*int(h.EntrySize):], binary.LittleEndian, &e); err != nil {
			return nil, err
		}
		if e.Type == [16]byte{} {
			continue
		}
		if e.First < h.FirstUsable || e.Last > h.LastUsable || e.Last < e.First || e.Last >= maxDisk/uint64(d.sector) {
			return nil, fmt.Errorf("partition %d of the image has an impossible place: sectors %d to %d, of which its GPT allows %d to %d", i+1, e.First, e.Last, h.FirstUsable, h.LastUsable)
		}
		t.Partitions = append(t.Partitions, Partition{
			Number: i + 1, Start: int64(e.First) * int64(d.sector), Size: int64(e.Last-e.First+1) * int64(d.sector),
			Type: GUID(e.Type), UUID: GUID(e.ID), Name: utf16Text(e.Name[:]), Attributes: e.Attributes,
		})
	}
	return t, nil
}

// GUID spells the mixed-endian GUID of UEFI and Microsoft, in lower case.
func GUID(b [16]byte) string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(b[:]), binary.LittleEndian.Uint16(b[4:]),
		binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:16])
}

func utf16Text(units []uint16) string {
	text, _, _ := strings.Cut(string(utf16.Decode(units)), "\x00")
	return text
}

// TableEnd is where the primary GPT of a disk ends: behind its last entry, in bytes.
func TableEnd(r io.ReaderAt) (int64, error) {
	var damage error
	for _, sector := range []int{512, 4096} {
		h, _, err := gptDisk{r, maxDisk, sector}.header(1)
		if err == nil {
			return int64(h.EntriesLBA)*int64(sector) + int64(h.EntryCount)*int64(h.EntrySize), nil
		}
		if !errors.Is(err, ErrNoTable) {
			damage = err
		}
	}
	return 0, fmt.Errorf("the primary GPT cannot be read: %w", cmp.Or(damage, ErrNoTable))
}
