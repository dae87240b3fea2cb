// Package disk works on a disk as a whole: partition tables, what partitions hold, loop devices,
// mounts, and fstab. It needs no udev, no partition scanning of the kernel, and no vfat in it.
package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// Table is a partition table.
type Table struct {
	Kind       string      // "gpt" or "mbr"
	SectorSize int         // bytes of a logical sector: 512 or 4096
	ID         string      // disk GUID, or disk signature as 8 hex digits
	Partitions []Partition // by start
	Warnings   []string    // what was wrong but could be read around
}

// Partition is one entry of a table.
type Partition struct {
	Number int
	Start  int64  // bytes
	Size   int64  // bytes
	Type   string // type GUID in lower case, or MBR type as "0x83"
	UUID   string // PARTUUID as the kernel spells it
	Name   string // GPT partition name
}

// GPT partition types this program looks for (UEFI specification, Discoverable Partitions
// Specification).
const (
	TypeESP      = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	TypeBIOSBoot = "21686148-6449-6e6f-744e-656564454649"
)

// ErrNoTable means that a disk has neither a GPT nor an MBR partition table.
var ErrNoTable = errors.New("no partition table")

// ReadTable reads the partition table of a disk of size bytes. The sector size of a GPT is found by
// where its header lies. A damaged primary GPT is replaced by the backup, with a warning.
func ReadTable(r io.ReaderAt, size int64) (*Table, error) {
	mbr := make([]byte, 512)
	if _, err := r.ReadAt(mbr, 0); err != nil {
		return nil, fmt.Errorf("read the partition table: %w", err)
	}
	var damage []error
	for _, sector := range []int{512, 4096} {
		t, err := readGPT(r, size, sector)
		if err == nil {
			return t, t.check(size)
		}
		if !errors.Is(err, ErrNoTable) {
			damage = append(damage, err)
		}
	}
	if len(damage) > 0 {
		return nil, errors.Join(damage...)
	}
	if mbr[510] != 0x55 || mbr[511] != 0xaa {
		return nil, ErrNoTable
	}
	t, err := readMBR(r, mbr)
	if err != nil {
		return nil, err
	}
	return t, t.check(size)
}

// check refuses partitions that overlap or lie outside the disk.
func (t *Table) check(size int64) error {
	slices.SortFunc(t.Partitions, func(a, b Partition) int { return int(min(1, max(-1, a.Start-b.Start))) })
	end := int64(0)
	for i, p := range t.Partitions {
		switch {
		case p.Size <= 0 || p.Start <= 0:
			return fmt.Errorf("partition %d has an impossible place: start %d, size %d bytes", p.Number, p.Start, p.Size)
		case p.Start+p.Size > size || p.Start+p.Size < p.Start:
			return fmt.Errorf("partition %d ends at byte %d, but the disk has only %d: the image is truncated", p.Number, p.Start+p.Size, size)
		case p.Start < end:
			return fmt.Errorf("partitions %d and %d overlap", t.Partitions[i-1].Number, p.Number)
		}
		end = p.Start + p.Size
	}
	return nil
}

// gptHeader is the header of UEFI specification 5.3.2.
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

const maxEntries = 1024 // UEFI asks for 128; nobody makes more than this

func readGPT(r io.ReaderAt, size int64, sector int) (*Table, error) {
	main, entries, err := readHeader(r, 1, sector, size)
	last := uint64(size/int64(sector)) - 1
	if err == nil {
		t := newGPT(main, entries, sector)
		if _, _, err := readHeader(r, main.AlternateLBA, sector, size); err != nil {
			t.Warnings = append(t.Warnings, fmt.Sprintf("the backup GPT is damaged or missing: %v", err))
		}
		return t, nil
	}
	backup, entries, backupErr := readHeader(r, last, sector, size)
	if backupErr != nil {
		return nil, err
	}
	t := newGPT(backup, entries, sector)
	t.Warnings = append(t.Warnings, "the primary GPT is damaged; its backup is used")
	return t, nil
}

// readHeader reads and checks the header at a sector, and its entries.
func readHeader(r io.ReaderAt, lba uint64, sector int, size int64) (h gptHeader, entries []byte, err error) {
	buf := make([]byte, sector)
	if lba == 0 || lba > uint64(size/int64(sector))-1 {
		return h, nil, fmt.Errorf("the GPT header would lie outside the disk, at sector %d", lba)
	}
	if _, err := r.ReadAt(buf, int64(lba)*int64(sector)); err != nil {
		return h, nil, ErrNoTable
	}
	_ = binary.Read(bytes.NewReader(buf), binary.LittleEndian, &h) // the buffer is long enough
	if string(h.Signature[:]) != "EFI PART" {
		return h, nil, ErrNoTable
	}
	if h.HeaderSize < 92 || int(h.HeaderSize) > sector {
		return h, nil, fmt.Errorf("the GPT header says it has %d bytes", h.HeaderSize)
	}
	clear(buf[16:20])
	if crc32.ChecksumIEEE(buf[:h.HeaderSize]) != h.HeaderCRC {
		return h, nil, errors.New("the GPT header's checksum is wrong")
	}
	if h.EntrySize < 128 || h.EntrySize > 4096 || h.EntryCount > maxEntries {
		return h, nil, fmt.Errorf("the GPT has %d entries of %d bytes", h.EntryCount, h.EntrySize)
	}
	entries = make([]byte, h.EntryCount*h.EntrySize)
	if _, err := r.ReadAt(entries, int64(h.EntriesLBA)*int64(sector)); err != nil {
		return h, nil, fmt.Errorf("read the GPT's entries: %w", err)
	}
	if crc32.ChecksumIEEE(entries) != h.EntriesCRC {
		return h, nil, errors.New("the checksum of the GPT's entries is wrong")
	}
	return h, entries, nil
}

func newGPT(h gptHeader, entries []byte, sector int) *Table {
	t := &Table{Kind: "gpt", SectorSize: sector, ID: guid(h.DiskGUID[:])}
	for i := range int(h.EntryCount) {
		e := entries[i*int(h.EntrySize):]
		kind := guid(e[:16])
		if kind == "00000000-0000-0000-0000-000000000000" {
			continue
		}
		first, last := binary.LittleEndian.Uint64(e[32:]), binary.LittleEndian.Uint64(e[40:])
		t.Partitions = append(t.Partitions, Partition{
			Number: i + 1, Start: int64(first) * int64(sector), Size: int64(last-first+1) * int64(sector),
			Type: kind, UUID: guid(e[16:32]), Name: utf16Text(e[56:128]),
		})
	}
	return t
}

// guid spells the mixed-endian GUID of UEFI.
func guid(b []byte) string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]),
		binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:16])
}

func utf16Text(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	text, _, _ := strings.Cut(string(utf16.Decode(units)), "\x00")
	return text
}

// MBR partition types with a chain of logical partitions inside.
var extended = []byte{0x05, 0x0f, 0x85}

// maxLogical bounds a chain that could loop.
const maxLogical = 256

func readMBR(r io.ReaderAt, mbr []byte) (*Table, error) {
	signature := binary.LittleEndian.Uint32(mbr[440:])
	t := &Table{Kind: "mbr", SectorSize: 512, ID: fmt.Sprintf("%08x", signature)}
	for i := range 4 {
		e := mbr[446+16*i:]
		kind := e[4]
		start, count := int64(binary.LittleEndian.Uint32(e[8:])), int64(binary.LittleEndian.Uint32(e[12:]))
		switch {
		case kind == 0 || count == 0:
		case kind == 0xee:
			return nil, errors.New("the disk has a protective MBR, but neither GPT behind it can be read")
		case slices.Contains(extended, kind):
			if err := t.addLogical(r, start); err != nil {
				return nil, err
			}
		default:
			t.add(i+1, start, count, kind)
		}
	}
	if len(t.Partitions) == 0 {
		return nil, ErrNoTable
	}
	return t, nil
}

func (t *Table) add(number int, start, count int64, kind byte) {
	t.Partitions = append(t.Partitions, Partition{
		Number: number, Start: start * 512, Size: count * 512, Type: fmt.Sprintf("0x%02x", kind),
		UUID: fmt.Sprintf("%s-%02x", t.ID, number),
	})
}

// addLogical follows the chain of extended boot records that starts at a sector.
func (t *Table) addLogical(r io.ReaderAt, first int64) error {
	ebr := make([]byte, 512)
	at := first
	for number := 5; number < maxLogical; number++ {
		if _, err := r.ReadAt(ebr, at*512); err != nil || ebr[510] != 0x55 || ebr[511] != 0xaa {
			return fmt.Errorf("the extended boot record at sector %d cannot be read", at)
		}
		if kind, count := ebr[450], binary.LittleEndian.Uint32(ebr[458:]); kind != 0 && count != 0 {
			t.add(number, at+int64(binary.LittleEndian.Uint32(ebr[454:])), int64(count), kind)
		}
		next := int64(binary.LittleEndian.Uint32(ebr[470:]))
		if ebr[466] == 0 || next == 0 {
			return nil
		}
		at = first + next
	}
	return errors.New("the chain of logical partitions has no end")
}
