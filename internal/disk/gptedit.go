package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"slices"
	"unicode/utf16"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// EditGPT changes partitions of the GPT on a disk, gives the disk's file that size, and writes both
// copies of the table. edit may move what lies in the partitions, and add
// partitions. What a Partition and the Table's ID do not say stays as it is, and so do names: further
// entries and their attributes, boot code, a hybrid MBR.
func EditGPT(f *os.File, size int64, edit func(*Table) error) error {
	old, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	t, err := ReadTable(f, old)
	if err != nil {
		return err
	}
	if t.Kind != "gpt" {
		return errors.New("the disk has an MBR: its partitions cannot be moved, grown, shrunk or renamed")
	}
	d := gptDisk{f, old, t.SectorSize}
	h, entries, err := d.header(1)
	if err != nil {
		if h, entries, err = d.header(uint64(old/int64(t.SectorSize)) - 1); err != nil {
			return err
		}
	}
	if old != size { // nobody should find the old backup where it was; something may be moved there
		if err := d.forget(); err != nil {
			return err
		}
	}
	before := slices.Clone(t.Partitions)
	if err := edit(t); err != nil {
		return err
	}
	if err := t.update(&h, entries, size); err != nil {
		return err
	}
	if err := f.Truncate(max(old, size)); err != nil {
		return err
	}
	if err := (gptDisk{f, size, t.SectorSize}).writeBoth(f, h, entries); err != nil {
		return fmt.Errorf("write the partition table: %w", err)
	}
	if err := t.followHybrid(f, before, old, size); err != nil {
		return err
	}
	return f.Truncate(size)
}

// update puts the partitions into the header and the entries of a table.
func (t *Table) update(h *gptHeader, entries []byte, size int64) error {
	if err := t.check(size); err != nil {
		return err
	}
	sector := int64(t.SectorSize)
	h.AlternateLBA = uint64(size/sector) - 1
	h.LastUsable = h.AlternateLBA - uint64((int64(len(entries))+sector-1)/sector) - 1
	id, err := ParseGUID(t.ID)
	if err != nil {
		return err
	}
	h.DiskGUID = id
	for _, p := range t.Partitions {
		if last := uint64((p.Start+p.Size)/sector) - 1; last > h.LastUsable {
			return fmt.Errorf("partition %d ends at sector %d, but the table needs what lies behind sector %d", p.Number, last, h.LastUsable)
		}
		if p.Number < 1 || p.Number > int(h.EntryCount) {
			return fmt.Errorf("the table has no place for a partition %d", p.Number)
		}
		if err := p.update(entries[(p.Number-1)*int(h.EntrySize):], sector); err != nil {
			return err
		}
	}
	h.EntriesCRC = crc32.ChecksumIEEE(entries)
	return nil
}

// update changes an entry's place and identifiers.
func (p Partition) update(entry []byte, sector int64) (err error) {
	var e gptEntry
	if _, err := binary.Decode(entry, binary.LittleEndian, &e); err != nil {
		return err
	}
	if e.Type == [16]byte{} { // a new one
		copy(e.Name[:], utf16.Encode([]rune(p.Name)))
	}
	if e.Type, err = ParseGUID(p.Type); err != nil {
		return err
	}
	if e.ID, err = ParseGUID(p.UUID); err != nil {
		return err
	}
	e.First, e.Last, e.Attributes = uint64(p.Start/sector), uint64((p.Start+p.Size)/sector)-1, p.Attributes
	_, err = binary.Encode(entry, binary.LittleEndian, e)
	return err
}

// guidLength is the length of a GUID as text.
const guidLength = 36

// forget wipes the backup header at the end of the disk.
func (d gptDisk) forget() error {
	last := d.size/int64(d.sector) - 1
	if _, _, err := d.header(uint64(last)); errors.Is(err, ErrNoTable) {
		return nil
	}
	_, err := d.r.(io.WriterAt).WriteAt(make([]byte, d.sector), last*int64(d.sector))
	return err
}

// writeBoth writes both copies of a table, and the size of the disk into its protective MBR.
func (d gptDisk) writeBoth(f *os.File, h gptHeader, entries []byte) error {
	sector := int64(d.sector)
	last := uint64(d.size/sector) - 1
	sectors := uint64((int64(len(entries)) + sector - 1) / sector)
	at := h.EntriesLBA
	if h.MyLBA != 1 { // the table was read from the backup
		at = 2
	}
	for _, place := range []struct{ header, other, entries uint64 }{{last, 1, last - sectors}, {1, last, at}} {
		h.MyLBA, h.AlternateLBA, h.EntriesLBA = place.header, place.other, place.entries
		if err := d.write(f, h, entries); err != nil {
			return err
		}
	}
	return d.protect(int64(last))
}

// protect lets a protective MBR cover the disk. One that shows other partitions too is left alone.
func (d gptDisk) protect(last int64) error {
	mbr := make([]byte, mbrSize)
	if _, err := d.r.ReadAt(mbr, 0); err != nil {
		return err
	}
	entries, _ := primaries(mbr)
	for i, e := range entries {
		if e.protective() && !slices.ContainsFunc(entries, func(o mbrEntry) bool { return !o.empty() && !o.protective() }) {
			binary.LittleEndian.PutUint32(mbr[446+16*i+12:], uint32(min(last, math.MaxUint32)))
			_, err := d.r.(io.WriterAt).WriteAt(mbr, 0)
			return err
		}
	}
	return nil
}

// followHybrid lets the entries of a hybrid MBR, which show partitions of the GPT to old programs, show where
// these are now, and its protective entry, where that reached the end of the disk, reach it again.
func (t *Table) followHybrid(f *os.File, before []Partition, old, size int64) error {
	mbr := make([]byte, mbrSize)
	if _, err := f.ReadAt(mbr, 0); err != nil {
		return err
	}
	entries, _ := primaries(mbr)
	for i, e := range entries {
		at, sector := mbr[446+16*i:], int64(t.SectorSize)
		set := func(start, count int64) {
			binary.LittleEndian.PutUint32(at[8:], uint32(start))
			binary.LittleEndian.PutUint32(at[12:], uint32(min(count, math.MaxUint32)))
		}
		switch {
		case e.empty():
		case e.protective() && e.start+e.count == old/sector:
			set(e.start, size/sector-e.start)
		case !e.protective():
			for _, is := range t.Partitions {
				shown := func(was Partition) bool {
					return was.Number == is.Number && was.Start == e.start*sector && was.Size == e.count*sector
				}
				if slices.ContainsFunc(before, shown) && is.Start/sector <= math.MaxUint32 {
					set(is.Start/sector, is.Size/sector)
				}
			}
		}
	}
	_, err := f.WriteAt(mbr, 0)
	return err
}

// ParseGUID is the inverse of GUID; the case of the digits does not matter.
func ParseGUID(text string) (b [16]byte, err error) {
	id, err := uuid.Parse(text)
	if err != nil || len(text) != guidLength { // the library takes other spellings too
		return b, fmt.Errorf("%q is no GUID", text)
	}
	slices.Reverse(id[0:4])
	slices.Reverse(id[4:6])
	slices.Reverse(id[6:8])
	return id, nil
}

// Punch makes a stretch of a file a hole.
func Punch(f *os.File, at, size int64) error {
	if size <= 0 {
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}
