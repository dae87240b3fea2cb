package diskformat

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"imagecustomizer/internal/disk"
)

var vhdx = Format{
	Name: "vhdx", Extensions: []string{".vhdx"}, About: "Hyper-V",
	driver: "vhdx", mark: mark{0, vhdxMagic}, probe: probeVHDX, open: openVHDX,
	pack: writeVHDX, inPlace: folds, options: []string{"block_size=2097152"}, accepts: acceptVHDX, check: checkMagic(vhdxMagic), keep: keepVHDX,
}

const vhdxMagic = "vhdxfile"

// acceptVHDX refuses what has a sector too many to count.
func acceptVHDX(size int64, sector int) error {
	if size%int64(sector) != 0 {
		return fmt.Errorf("the disk has %d bytes, which is no whole number of its sectors of %d bytes", size, sector)
	}
	return nil
}

// vhdxLayout is what a VHDX file says of where its blocks lie ([MS-VHDX], Virtual Hard Disk v2 File
// Format). qemu-img reads every hole of one, however large; the table of blocks says where the data
// is.
type vhdxLayout struct {
	r      io.ReaderAt
	file   int64 // size of the file in bytes
	disk   int64 // size of the disk in bytes
	block  int64 // size of a block in bytes
	sector int64 // size of a logical sector in bytes
	ratio  int64 // after so many blocks, the table has an entry of another kind
	table  int64 // where the table lies in the file

	id [16]byte // of the disk, as the file has it
}

// Places in a VHDX file, in bytes, and sizes of what lies there ([MS-VHDX], 2.1).
const (
	vhdxHeader1     = 64 << 10
	vhdxHeader2     = 128 << 10
	vhdxHeaderSize  = 4 << 10
	vhdxRegions1    = 192 << 10
	vhdxRegions2    = 256 << 10
	vhdxRegionsSize = 64 << 10
)

// Regions and metadata items of a VHDX by the GUIDs of the format ([MS-VHDX], 2.2.3 and 2.6.2).
const (
	vhdxTableID      = "2dc27766-f623-4200-9d64-115e9bfd4a08"
	vhdxMetadataID   = "8b7ca206-4790-4b9a-b8fe-575f050f886e"
	vhdxParametersID = "caa16737-fa36-4d43-b3b6-33f0aa44e76b"
	vhdxDiskSizeID   = "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
	vhdxSectorSizeID = "8141bf1d-a96f-4709-ba47-f233a8faab5f"
	vhdxDiskID       = "beca12ab-b2e6-4523-93ef-c309e000c746"
)

// errVHDX is an image that only qemu-img may be able to read.
var errVHDX = fmt.Errorf("this VHDX cannot be read block by block: %w", errLayout)

// openVHDX reads what leads to the table of blocks. It refuses files whose log is not empty: changes
// in there come before what the tables say.
func openVHDX(_ context.Context, r io.ReaderAt, file int64) (layout, error) {
	v, err := readVHDX(r, file)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// readVHDX is openVHDX.
func readVHDX(r io.ReaderAt, file int64) (*vhdxLayout, error) {
	v := &vhdxLayout{r: r, file: file}
	header := v.newest()
	if header == nil || !bytes.Equal(header[48:64], make([]byte, 16)) || binary.LittleEndian.Uint16(header[66:]) != 1 {
		return nil, fmt.Errorf("%w: it has no good header, or its log is not empty", errVHDX)
	}
	regions := v.checked(vhdxRegions1, vhdxRegionsSize, "regi")
	if regions == nil {
		regions = v.checked(vhdxRegions2, vhdxRegionsSize, "regi")
	}
	bat, metadata := entry(regions, 8, 16, vhdxTableID), entry(regions, 8, 16, vhdxMetadataID)
	if bat == nil || metadata == nil {
		return nil, fmt.Errorf("%w: it lacks a region", errVHDX)
	}
	v.table = int64(binary.LittleEndian.Uint64(bat[16:]))
	if err := v.readMetadata(int64(binary.LittleEndian.Uint64(metadata[16:]))); err != nil {
		return nil, err
	}
	blocks := (v.disk + v.block - 1) / v.block
	if need := (blocks + blocks/v.ratio) * 8; v.table <= 0 || int64(binary.LittleEndian.Uint32(bat[24:])) < need || v.table > file-need {
		return nil, fmt.Errorf("%w: its table of blocks is too short", errVHDX)
	}
	return v, nil
}

// BigSector is the size of the sectors of a disk that does not have the usual ones.
const BigSector = 4096

// probeVHDX leaves the size of the disk to qemu-img, where it can read the file.
func probeVHDX(f candidate) (Image, error) {
	odd := oddVHDX(f, f.size)
	return Image{Size: odd, Odd: odd > 0}, nil
}

// oddVHDX is the size of the disk in a VHDX file whose sectors are not of 512 bytes, which no version of QEMU
// reads; 0 for any other file.
func oddVHDX(r io.ReaderAt, file int64) int64 {
	if v, err := readVHDX(r, file); err == nil && v.sector != 512 {
		return v.disk
	}
	return 0
}

// checked reads a structure with a signature and a checksum, or returns nil.
func (v *vhdxLayout) checked(at, size int64, signature string) []byte {
	b := make([]byte, size)
	if _, err := v.r.ReadAt(b, at); err != nil || string(b[:4]) != signature {
		return nil
	}
	sum := binary.LittleEndian.Uint32(b[4:])
	clear(b[4:8])
	if crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return nil
	}
	return b
}

// newest returns the header that was written last.
func (v *vhdxLayout) newest() []byte {
	a, b := v.checked(vhdxHeader1, vhdxHeaderSize, "head"), v.checked(vhdxHeader2, vhdxHeaderSize, "head")
	if a == nil || b != nil && binary.LittleEndian.Uint64(b[8:]) > binary.LittleEndian.Uint64(a[8:]) {
		return b
	}
	return a
}

// entry finds one of the 32-byte entries of a table by its GUID. counter is where the table says how
// many there are, first where they begin.
func entry(table []byte, counter, first int, guid string) []byte {
	if len(table) < first {
		return nil
	}
	n := int(binary.LittleEndian.Uint16(table[counter:]))
	for b := table[first:]; n > 0 && len(b) >= 32; n, b = n-1, b[32:] {
		if disk.GUID([16]byte(b)) == guid {
			return b[:32]
		}
	}
	return nil
}

func (v *vhdxLayout) readMetadata(at int64) error {
	table := make([]byte, vhdxRegionsSize)
	if _, err := v.r.ReadAt(table, at); err != nil || string(table[:8]) != "metadata" {
		return fmt.Errorf("%w: it has no metadata", errVHDX)
	}
	item := func(guid string) uint64 {
		b := make([]byte, 8)
		if e := entry(table, 10, 32, guid); e != nil {
			_, _ = v.r.ReadAt(b, at+int64(binary.LittleEndian.Uint32(e[16:]))) // 0 is refused below
		}
		return binary.LittleEndian.Uint64(b)
	}
	if e := entry(table, 10, 32, vhdxDiskID); e != nil {
		_, _ = v.r.ReadAt(v.id[:], at+int64(binary.LittleEndian.Uint32(e[16:]))) // the disk works without
	}
	parameters, sector, size := item(vhdxParametersID), int64(uint32(item(vhdxSectorSizeID))), item(vhdxDiskSizeID)
	v.block = int64(uint32(parameters))
	const hasParent = 1 << (32 + 1)
	switch {
	case parameters&hasParent != 0:
		return fmt.Errorf("%w: it has a parent", errVHDX)
	case v.block < 1<<20 || v.block > 256<<20 || v.block&(v.block-1) != 0,
		sector != 512 && sector != 4096, size == 0 || size > largest:
		return fmt.Errorf("%w: it has blocks of %d bytes, sectors of %d, a disk of %d", errVHDX, v.block, sector, size)
	}
	v.disk, v.sector, v.ratio = int64(size), sector, (1<<23)*sector/v.block
	return nil
}

// States of a block in the table that have data in the file; all others read as zeros ([MS-VHDX], 2.5.1.1).
const (
	vhdxPresent = 6
	vhdxPartly  = 7 // the rest lies in a parent
)

// place is where a block of the disk lies in the file; 0 is nowhere.
func (v *vhdxLayout) place(table []byte, i int64) (int64, error) {
	e := binary.LittleEndian.Uint64(table[i*8:])
	at := int64(e &^ (1<<20 - 1))
	switch e & 7 {
	case vhdxPartly:
		return 0, fmt.Errorf("%w: it needs a parent", errVHDX)
	case vhdxPresent:
		if at <= 0 || at >= v.file {
			return 0, fmt.Errorf("a block of this VHDX lies at byte %d of %d: %w", at, v.file, disk.ErrTruncated)
		}
		return at, nil
	}
	return 0, nil
}

func (v *vhdxLayout) size() int64 { return v.disk }

func (v *vhdxLayout) each(ctx context.Context, f func(from, to, n int64) error) error {
	table := make([]byte, v.ratio*8) // the part between two entries of another kind
	for at := int64(0); at < v.disk; at += v.ratio * v.block {
		n := min(v.ratio, (v.disk-at+v.block-1)/v.block)
		part := at / (v.ratio * v.block)
		if _, err := v.r.ReadAt(table[:n*8], v.table+part*(v.ratio+1)*8); err != nil {
			return fmt.Errorf("read the table of blocks: %w", err)
		}
		for i := range n {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			from, err := v.place(table, i)
			if to := at + i*v.block; err == nil && from > 0 {
				err = f(from, to, min(v.block, v.disk-to))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
