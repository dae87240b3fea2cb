package output

import (
	"context"
	"encoding/binary"
	"os"
	"time"
)

// writeFixedVHD writes a disk as fixed VHD: the disk itself, then the footer.
func writeFixedVHD(ctx context.Context, id Identity, disk *os.File, size int64, out *os.File, progress func(done, total int64)) error {
	if out != disk {
		stay := func(at, _ int64) int64 { return at }
		if err := copyData(ctx, out, disk, size, stay, progress); err != nil {
			return err
		}
	}
	_, err := out.WriteAt(fixedFooter(size, id.id("vhd"), id.time()), size)
	return err
}

// vhdEpoch is where the times of VHDs begin.
var vhdEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// fixedFooter is the footer of a fixed VHD of size bytes. The creator is one from which QEMU, too,
// takes the size as it is, instead of computing it from the geometry.
func fixedFooter(size int64, id [16]byte, now time.Time) []byte {
	var f footer
	put := binary.BigEndian
	copy(f.raw[:], footerCookie)
	put.PutUint32(f.raw[8:], 2)           // features: the reserved bit
	put.PutUint32(f.raw[12:], 0x00010000) // version of the format
	put.PutUint64(f.raw[16:], 1<<64-1)    // no dynamic header
	copy(f.raw[atCreator:], "qem2\x00\x01\x00\x00Wi2k")
	put.PutUint64(f.raw[40:], uint64(size)) // original size
	put.PutUint64(f.raw[atCurrentSize:], uint64(size))
	put.PutUint32(f.raw[56:], geometry(size/512))
	put.PutUint32(f.raw[atDiskType:], diskFixed)
	f.name(id, now)
	return f.raw[:]
}

// identify gives the footer another identity.
func (f *footer) identify(id Identity) { f.name(id.id("vhd"), id.time()) }

func (f *footer) name(id [16]byte, at time.Time) {
	binary.BigEndian.PutUint32(f.raw[24:], uint32(max(0, at.Sub(vhdEpoch)/time.Second)))
	copy(f.raw[68:], id[:])
	binary.BigEndian.PutUint32(f.raw[atChecksum:], f.checksum())
}

// geometry is the cylinders, heads and sectors of that many sectors, as the appendix of the
// specification of VHD computes them.
func geometry(sectors int64) uint32 {
	const most = 65535 * 16 * 255
	sectors = min(sectors, most)
	pack := func(heads, perTrack int64) uint32 {
		return uint32(min(sectors/perTrack/heads, 65535)<<16 | heads<<8 | perTrack)
	}
	if sectors >= 65535*16*63 {
		return pack(16, 255)
	}
	tracks := sectors / 17
	heads := max((tracks+1023)/1024, 4)
	switch {
	case tracks < heads*1024 && heads <= 16:
		return pack(heads, 17)
	case sectors/31 < 16*1024:
		return pack(16, 31)
	}
	return pack(16, 63)
}
