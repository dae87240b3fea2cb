package diskformat

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"imagecustomizer/internal/disk"
)

// Where QEMU reads a VHD, it is told to take the disk's size from the footer: the geometry of some rounds it.
// Where it writes one, force_size keeps it from rounding up to a geometry.
var (
	vhd = Format{
		Name: "vhd", Extensions: []string{".vhd"}, About: "Virtual PC, dynamic",
		driver: "vpc", mark: mark{-footerSize, footerCookie}, probe: probeVHD,
		node:    func(_ Image, node map[string]any) { node["force_size_calc"] = "current_size" },
		options: []string{"subformat=dynamic", "force_size=on"}, stamp: stampVHD, accepts: acceptVHD, check: checkVHD, keep: keepVHD,
	}
	vhdFixed = Format{
		Name: "vhd-fixed", Shares: ".vhd", About: "Virtual PC, fixed size: what Azure takes",
		driver: "vpc", plain: true, node: func(i Image, node map[string]any) { node["driver"], node["size"] = "raw", i.Size },
		pack: writeFixedVHD, inPlace: always, options: []string{"subformat=fixed", "force_size=on"}, accepts: acceptFixedVHD, check: checkFixedVHD, keep: keepVHD,
	}
)

// The layout of a VHD footer, all numbers big endian: Microsoft's "Virtual Hard Disk Image Format
// Specification", "Hard Disk Footer Format".
const (
	footerSize     = 512
	footerCookie   = "conectix"
	atCreator      = 28
	atCurrentSize  = 48
	atDiskType     = 60
	atChecksum     = 64
	checksumLength = 4
)

// Types of a disk.
const (
	diskFixed        = 2
	diskDynamic      = 3
	diskDifferencing = 4
)

// footer is the 512 bytes that end a VHD.
type footer struct{ raw [footerSize]byte }

func readFooter(r io.ReaderAt, at int64) (footer, error) {
	var f footer
	if _, err := r.ReadAt(f.raw[:], at); err != nil {
		return f, fmt.Errorf("cannot read the VHD footer at byte %d: %w", at, err)
	}
	if c := f.raw[:len(footerCookie)]; string(c) != footerCookie {
		return f, fmt.Errorf("no VHD footer at byte %d: it begins with %q", at, c)
	}
	return f, nil
}

func (f footer) size() int64  { return int64(binary.BigEndian.Uint64(f.raw[atCurrentSize:])) }
func (f footer) kind() uint32 { return binary.BigEndian.Uint32(f.raw[atDiskType:]) }
func (f footer) sum() uint32  { return binary.BigEndian.Uint32(f.raw[atChecksum:]) }

// checksum is the complement of the sum of all bytes but those of the checksum itself.
func (f footer) checksum() uint32 {
	var sum uint32
	for i, b := range f.raw {
		if i < atChecksum || i >= atChecksum+checksumLength {
			sum += uint32(b)
		}
	}
	return ^sum
}

// probeVHD reads the footer at a file's end. QEMU cannot tell a fixed VHD from a raw image, and
// takes the size of some from their geometry, which rounds; current size is what they hold, whatever
// program made them.
func probeVHD(f candidate) (Image, error) {
	foot, err := readFooter(f, f.size-footerSize)
	if err != nil {
		return Image{}, err
	}
	if foot.sum() != foot.checksum() {
		return Image{}, errors.New("the checksum of the VHD footer is wrong: the file is damaged")
	}
	current, data := foot.size(), f.size-footerSize
	if current <= 0 {
		return Image{}, errors.New("the VHD footer says that the disk has no byte, or more than any: the file is damaged")
	}
	switch foot.kind() {
	case diskFixed:
		if current != data {
			return Image{}, fmt.Errorf("this fixed VHD says its disk has %d bytes but holds %d; write it again with the exact size "+
				"(qemu-img: -o subformat=fixed,force_size=on)", current, data)
		}
		return Image{Name: "vhd-fixed", Size: current}, checkTable(f, current)
	case diskDynamic:
		return Image{Size: current}, nil
	case diskDifferencing:
		return Image{}, errors.New("this is a differencing VHD, which needs its parent; merge them first")
	}
	return Image{}, fmt.Errorf("this VHD is of type %d, which does not exist: the file is damaged", foot.kind())
}

// hasLostFooter tells whether a file that no format claims begins like a dynamic VHD.
func hasLostFooter(f candidate) error {
	if (mark{0, footerCookie}).on(f) {
		return fmt.Errorf("this VHD has lost its footer: %w", disk.ErrTruncated)
	}
	return nil
}

// vhdMax is the largest disk a dynamic VHD can hold: 2040 GiB.
const vhdMax = 2040 << 30

func acceptVHD(size int64, sector int) error {
	if size > vhdMax {
		return fmt.Errorf("a VHD holds at most 2040 GiB and the disk has %d bytes: use vhdx", size)
	}
	return smallSectors("VHD", sector)
}

// smallSectors refuses sectors that a format has no field for.
func smallSectors(format string, sector int) error {
	if sector != 512 {
		return fmt.Errorf("the partition table of the disk counts sectors of %d bytes and a %s has sectors of 512: "+
			"firmware would find no partitions; use vhdx", sector, format)
	}
	return nil
}

func acceptFixedVHD(size int64, sector int) error {
	if size%mib != 0 {
		return fmt.Errorf("a vhd-fixed disk must be a whole number of MiB and this one has %d bytes (%d MiB and %d bytes): "+
			"make the disk %d MiB, or write vhd or vhdx", size, size/mib, size%mib, size/mib+1)
	}
	return acceptVHD(size, sector)
}

// checkVHD checks a dynamic VHD: the footer at the end and its copy at the start.
func checkVHD(r io.ReaderAt, s sizes) error {
	end, err := readFooter(r, s.file-footerSize)
	if err != nil {
		return err
	}
	start, err := readFooter(r, 0)
	if err != nil {
		return err
	}
	if !bytes.Equal(start.raw[:], end.raw[:]) {
		return fmt.Errorf("the VHD's footer and its copy differ")
	}
	return end.check(s.disk, diskDynamic)
}

// checkFixedVHD checks a fixed VHD: the disk's bytes, then the footer.
func checkFixedVHD(r io.ReaderAt, s sizes) error {
	if s.file != s.disk+footerSize {
		return fmt.Errorf("the file has %d bytes, the disk and its footer %d", s.file, s.disk+footerSize)
	}
	f, err := readFooter(r, s.disk)
	if err != nil {
		return err
	}
	return f.check(s.disk, diskFixed)
}

// check compares the footer with what it must say. Readers take the size from the CHS geometry,
// which cannot express every size, where the creator is one of the three named here.
func (f footer) check(size int64, kind uint32) error {
	if got, want := f.sum(), f.checksum(); got != want {
		return fmt.Errorf("the VHD footer's checksum is %#x, not %#x", got, want)
	}
	if f.size() != size {
		return fmt.Errorf("the VHD footer says %d bytes, the disk has %d", f.size(), size)
	}
	if f.kind() != kind {
		return fmt.Errorf("the VHD footer says disk type %d, not %d", f.kind(), kind)
	}
	switch creator := string(f.raw[atCreator : atCreator+4]); creator {
	case "vpc ", "vs  ", "qemu":
		return fmt.Errorf("the VHD footer names the creator %q: readers would compute the size from the disk's geometry", creator)
	}
	return nil
}

// writeFixedVHD writes a disk as fixed VHD: the disk itself, then the footer.
func writeFixedVHD(ctx context.Context, id Identity, disk *os.File, size int64, out *os.File, progress func(done, total int64)) error {
	if out != disk {
		stay := func(at, _ int64) int64 { return at }
		if err := copyData(ctx, out, disk, size, stay, progress); err != nil {
			return err
		}
	}
	_, err := out.WriteAt(FixedFooter(size, id.id("vhd"), id.time()), size)
	return err
}

// vhdEpoch is where the times of VHDs begin.
var vhdEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// FixedFooter is the footer of a fixed VHD of size bytes. The creator is one from which QEMU, too,
// takes the size as it is, instead of computing it from the geometry.
func FixedFooter(size int64, id [16]byte, now time.Time) []byte {
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

// name gives the footer another identity.
func (f *footer) name(id [16]byte, at time.Time) {
	binary.BigEndian.PutUint32(f.raw[24:], uint32(max(0, at.Sub(vhdEpoch)/time.Second)))
	copy(f.raw[68:], id[:])
	binary.BigEndian.PutUint32(f.raw[atChecksum:], f.checksum())
}

// stampVHD gives a dynamic VHD that qemu-img wrote its identity: in the footer, and in its copy at the beginning.
func stampVHD(name string, id Identity) error {
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return err
	}
	foot, err := readFooter(file, 0)
	if err != nil {
		return err
	}
	foot.name(id.id("vhd"), id.time())
	_, err1 := file.WriteAt(foot.raw[:], 0)
	_, err2 := file.WriteAt(foot.raw[:], fi.Size()-footerSize)
	return cmp.Or(err1, err2)
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
