package disk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// RepairGPT writes both copies of a GPT anew from the one that ReadTable took, where the other was
// damaged: firmware and partitioning tools must not have to choose between two.
func RepairGPT(f interface {
	io.ReaderAt
	io.WriterAt
}, t *Table, size int64,
) error {
	d := gptDisk{f, size, t.SectorSize}
	last := uint64(size/int64(d.sector)) - 1
	h, entries, err := d.header(1)
	backup, at := h.AlternateLBA, h.EntriesLBA
	if err != nil {
		if h, entries, err = d.header(last); err != nil {
			return fmt.Errorf("repair the GPT of the image: %w", err)
		}
		backup, at = last, 2
	}
	sectors := (uint64(len(entries)) + uint64(d.sector) - 1) / uint64(d.sector)
	if at+sectors > h.FirstUsable || backup < sectors || backup-sectors <= h.LastUsable {
		return fmt.Errorf("repair the GPT of the image: its partitions leave no room for two tables of %d sectors", sectors)
	}
	for _, place := range []struct{ header, other, entries uint64 }{{1, backup, at}, {backup, 1, backup - sectors}} {
		h.MyLBA, h.AlternateLBA, h.EntriesLBA = place.header, place.other, place.entries
		if err := d.write(f, h, entries); err != nil {
			return fmt.Errorf("repair the GPT of the image: %w", err)
		}
	}
	return nil
}

// write puts a header and its entries where the header says.
func (d gptDisk) write(w io.WriterAt, h gptHeader, entries []byte) error {
	buf := make([]byte, d.sector)
	h.HeaderSize, h.HeaderCRC = uint32(binary.Size(h)), 0
	if _, err := binary.Encode(buf, binary.LittleEndian, h); err != nil {
		return err
	}
	h.HeaderCRC = crc32.ChecksumIEEE(buf[:h.HeaderSize])
	if _, err := binary.Encode(buf, binary.LittleEndian, h); err != nil {
		return err
	}
	if _, err := w.WriteAt(entries, int64(h.EntriesLBA)*int64(d.sector)); err != nil {
		return err
	}
	_, err := w.WriteAt(buf, int64(h.MyLBA)*int64(d.sector))
	return err
}
