package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// mbrSize is the size in bytes of a master or extended boot record, and of the sectors that an MBR
// counts.
const mbrSize = 512

// mbrEntry is one of the four entries of a boot record.
type mbrEntry struct {
	active byte
	kind   byte
	start  int64 // sectors, from a place that depends on the entry
	count  int64 // sectors
}

func (e mbrEntry) empty() bool      { return e.kind == 0 || e.count == 0 }
func (e mbrEntry) protective() bool { return e.kind == 0xee }

// extended tells whether the entry holds a chain of logical partitions.
func (e mbrEntry) extended() bool { return slices.Contains([]byte{0x05, 0x0f, 0x85}, e.kind) }

// primaries reads the entries of a boot record; ok is false where there is none. The first sector of
// a filesystem can end like one, but has other things than 0 and 0x80 where entries say whether they
// are active.
func primaries(sector []byte) (entries []mbrEntry, ok bool) {
	if sector[510] != 0x55 || sector[511] != 0xaa {
		return nil, false
	}
	for i := range 4 {
		b := sector[446+16*i:]
		e := mbrEntry{b[0], b[4], int64(binary.LittleEndian.Uint32(b[8:])), int64(binary.LittleEndian.Uint32(b[12:]))}
		if e.active&^0x80 != 0 {
			return nil, false
		}
		entries = append(entries, e)
	}
	return entries, true
}

func readMBR(r io.ReaderAt, entries []mbrEntry, signature uint32) (*Table, error) {
	t := &Table{Kind: "mbr", SectorSize: mbrSize, ID: fmt.Sprintf("%08x", signature)}
	logical := 5
	for i, e := range entries {
		switch {
		case e.empty():
		case e.extended():
			var err error
			if logical, err = t.addLogical(r, e.start, logical); err != nil {
				return nil, err
			}
		default:
			t.add(i+1, e, e.start)
		}
	}
	if len(t.Partitions) == 0 {
		return nil, ErrNoTable
	}
	return t, nil
}

func (t *Table) add(number int, e mbrEntry, start int64) {
	t.Partitions = append(t.Partitions, Partition{
		Number: number, Start: start * mbrSize, Size: e.count * mbrSize, Type: fmt.Sprintf("0x%02x", e.kind),
		UUID: fmt.Sprintf("%s-%02x", t.ID, number), Attributes: uint64(e.active),
	})
}

// maxChain bounds a chain of extended boot records, which could loop.
const maxChain = 256

// addLogical follows the chain of extended boot records that starts at a sector: each describes one
// partition, from its own place, and the next record, from the first one's. It returns the next free
// number; as in the kernel, an empty record takes none.
func (t *Table) addLogical(r io.ReaderAt, first int64, number int) (int, error) {
	sector := make([]byte, mbrSize)
	at := first
	for range maxChain {
		_, err := r.ReadAt(sector, at*mbrSize)
		entries, ok := primaries(sector)
		if err != nil || !ok {
			return 0, fmt.Errorf("the extended boot record at sector %d of the image cannot be read", at)
		}
		if e := entries[0]; !e.empty() && !e.extended() {
			t.add(number, e, at+e.start)
			number++
		}
		if !entries[1].extended() || entries[1].empty() {
			return number, nil
		}
		at = first + entries[1].start
	}
	return 0, errors.New("the chain of logical partitions of the image has no end")
}
