// Package disk works on a disk as a whole: partition tables, what partitions hold, loop devices,
// mounts, and fstab. It needs no udev, no partition scanning of the kernel, and no vfat in it.
package disk

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// Table is a partition table.
type Table struct {
	Kind       string      // "gpt" or "mbr"
	SectorSize int         // bytes of a logical sector: 512 or 4096
	ID         string      // disk GUID, or disk signature as 8 hex digits
	Partitions []Partition // by start
	Warnings   []string    // what was wrong but could be read around
	Damaged    bool        // one of the copies of a GPT is; see RepairGPT
}

// Partition is one entry of a table.
type Partition struct {
	Number     int
	Start      int64  // bytes
	Size       int64  // bytes
	Type       string // type GUID in lower case, or MBR type as "0x83"
	UUID       string // PARTUUID as the kernel spells it
	Name       string // GPT partition name
	Attributes uint64 // GPT attribute bits, or 0x80 for the active partition of an MBR
}

// GPT partition types this program looks for (UEFI specification, Discoverable Partitions
// Specification).
const (
	TypeESP      = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	TypeMBRESP   = "0xef" // in an MBR
	TypeBIOSBoot = "21686148-6449-6e6f-744e-656564454649"
)

var (
	// ErrNoTable means that a disk has neither a GPT nor an MBR partition table.
	ErrNoTable = errors.New("no partition table")
	// ErrTruncated means that a partition table describes a larger disk than there is.
	ErrTruncated = errors.New("the image is truncated")
)

// maxDisk bounds sizes in bytes, so that sums of two of them cannot overflow.
const maxDisk = 1 << 62

// ReadTable reads the partition table of a disk of size bytes. The sector size of a GPT is found by
// where its header lies; MBRs count sectors of 512 bytes. A GPT is taken for one only behind a
// protective MBR, as the kernel does, since a stale one can lie on a disk that has an MBR now. A
// damaged primary GPT is replaced by the backup, with a warning.
func ReadTable(r io.ReaderAt, size int64) (*Table, error) {
	mbr := make([]byte, mbrSize)
	if _, err := r.ReadAt(mbr, 0); err != nil {
		return nil, fmt.Errorf("the disk has no first sector to read: %w", err)
	}
	entries, ok := primaries(mbr)
	var t *Table
	var err error
	switch {
	case !ok:
		return nil, ErrNoTable
	case slices.ContainsFunc(entries, mbrEntry.protective):
		if t, err = findGPT(r, size); err != nil {
			err = cmp.Or(checkProtective(entries, size), err)
		}
	default:
		t, err = readMBR(r, entries, binary.LittleEndian.Uint32(mbr[440:]))
	}
	if err != nil {
		return nil, err
	}
	return t, t.check(size)
}

// SectorSize is the size of the sectors that the partition table of a disk counts, in bytes; 512 where no
// table says.
func SectorSize(r io.ReaderAt) int {
	for _, size := range []int{512, 4096} {
		magic := make([]byte, 8)
		if _, err := r.ReadAt(magic, int64(size)); err == nil && string(magic) == "EFI PART" {
			return size
		}
	}
	return 512
}

// checkProtective looks for the reason why there is no GPT behind a protective MBR, which covers the
// disk.
func checkProtective(entries []mbrEntry, size int64) error {
	for _, e := range entries {
		end := (e.start + e.count) * mbrSize
		if e.protective() && e.count != math.MaxUint32 && end > size {
			return fmt.Errorf("%w: its protective MBR covers %d bytes, but it has only %d", ErrTruncated, end, size)
		}
	}
	return nil
}

// check sorts the partitions and refuses those that overlap or lie outside the disk.
func (t *Table) check(size int64) error {
	slices.SortFunc(t.Partitions, func(a, b Partition) int { return cmp.Compare(a.Start, b.Start) })
	var previous Partition
	for _, p := range t.Partitions {
		switch {
		case p.Start <= 0 || p.Size <= 0:
			return fmt.Errorf("partition %d of the image has an impossible place: start %d, size %d bytes", p.Number, p.Start, p.Size)
		case p.Start+p.Size > size:
			return fmt.Errorf("%w: its partition %d ends at byte %d, but it has only %d bytes", ErrTruncated, p.Number, p.Start+p.Size, size)
		case p.Start < previous.Start+previous.Size:
			return fmt.Errorf("partitions %d and %d of the image overlap", previous.Number, p.Number)
		}
		previous = p
	}
	return nil
}

// ByNumber lists the partitions in the order of their numbers.
func (t *Table) ByNumber() []Partition {
	return slices.SortedFunc(slices.Values(t.Partitions), func(a, b Partition) int { return cmp.Compare(a.Number, b.Number) })
}
