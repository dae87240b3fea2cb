package output

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"unicode/utf16"

	"github.com/google/uuid"

	"imagecustomizer/internal/disk"
)

// A dynamic VHDX file ([MS-VHDX], Virtual Hard Disk v2 File Format): the header section, an empty
// log, the metadata, the table of blocks, and the blocks with data. qemu-img writes the same, but
// through its log. Blocks of 2 MiB keep small images small.
const (
	vhdxBlock    = 2 * mib
	vhdxRatio    = (1 << 23) * vhdxSector / vhdxBlock // after so many blocks, the table has an entry for a bitmap that is not there
	vhdxSector   = 512                                // bytes
	vhdxLog      = 1 * mib                            // place and size
	vhdxMetadata = 2 * mib                            // place; it takes 1 MiB
	vhdxTable    = 3 * mib                            // place of the table of blocks
	vhdxItems    = 64 << 10                           // from the begin of the metadata
	vhdxPresent  = 6                                  // state of a block that lies in the file
)

// vhdxFile is a VHDX file while it is being written.
type vhdxFile struct {
	packer
	size int64 // of the disk
}

// writeVHDX writes a disk as dynamic VHDX.
func writeVHDX(ctx context.Context, in *os.File, size int64, out *os.File, progress func(done, total int64)) error {
	v := &vhdxFile{packer: packer{block: vhdxBlock}, size: size}
	v.first = vhdxTable + (int64(len(v.table()))+mib-1)/mib*mib
	if err := v.pack(ctx, out, in, size, progress); err != nil {
		return err
	}
	if err := out.Truncate(v.end()); err != nil {
		return err
	}
	header, regions := v.header(), v.regions()
	for _, part := range []struct {
		at   int64
		data []byte
	}{
		{vhdxTable, v.table()}, {vhdxMetadata, v.metadata()}, {192 << 10, regions}, {256 << 10, regions},
		{64 << 10, header}, {128 << 10, header}, {0, identifier()},
	} {
		if _, err := out.WriteAt(part.data, part.at); err != nil {
			return err
		}
	}
	return nil
}

// table says where the blocks lie, in units of 1 MiB.
func (v *vhdxFile) table() []byte {
	blocks := (v.size + vhdxBlock - 1) / vhdxBlock
	b := make([]byte, (blocks+(blocks-1)/vhdxRatio)*8)
	for i, n := range v.blocks {
		binary.LittleEndian.PutUint64(b[(n+n/vhdxRatio)*8:], uint64(v.at(i))|vhdxPresent)
	}
	return b
}

// identifier begins the file, and says in UTF-16 what made it.
func identifier() []byte {
	b := []byte("vhdxfile")
	for _, u := range utf16.Encode([]rune("imagecustomizer")) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// header says that the log is empty. It stands in the file twice; readers take the second where the
// numbers are the same.
func (v *vhdxFile) header() []byte {
	b := make([]byte, 4<<10)
	copy(b, "head")
	binary.LittleEndian.PutUint64(b[8:], 1)
	putGUID(b[16:], uuid.NewString()) // of the file's content
	putGUID(b[32:], uuid.NewString()) // of the disk's content
	binary.LittleEndian.PutUint16(b[66:], 1)
	binary.LittleEndian.PutUint32(b[68:], vhdxLog)
	binary.LittleEndian.PutUint64(b[72:], vhdxLog)
	return checksummed(b)
}

// regions says where the table of blocks and the metadata lie.
func (v *vhdxFile) regions() []byte {
	b := make([]byte, 64<<10)
	copy(b, "regi")
	binary.LittleEndian.PutUint32(b[8:], 2)
	for i, r := range []struct {
		guid     string
		at, size int64
	}{
		{"2dc27766-f623-4200-9d64-115e9bfd4a08", vhdxTable, v.first - vhdxTable},
		{"8b7ca206-4790-4b9a-b8fe-575f050f886e", vhdxMetadata, mib},
	} {
		e := b[16+32*i:]
		putGUID(e, r.guid)
		binary.LittleEndian.PutUint64(e[16:], uint64(r.at))
		binary.LittleEndian.PutUint32(e[24:], uint32(r.size))
		binary.LittleEndian.PutUint32(e[28:], 1) // readers must know it
	}
	return checksummed(b)
}

// Flags of metadata.
const (
	vhdxOfDisk   = 1 << 1
	vhdxRequired = 1 << 2
)

// metadata describes the disk.
func (v *vhdxFile) metadata() []byte {
	u32, u64 := binary.LittleEndian.AppendUint32, binary.LittleEndian.AppendUint64
	id := make([]byte, 16)
	putGUID(id, uuid.NewString())
	items := []struct {
		guid  string
		flags uint32
		data  []byte
	}{
		{"caa16737-fa36-4d43-b3b6-33f0aa44e76b", vhdxRequired, u32(u32(nil, vhdxBlock), 0)}, // no parent
		{"2fa54224-cd1b-4876-b211-5dbed83bf4b8", vhdxRequired | vhdxOfDisk, u64(nil, uint64(v.size))},
		{"beca12ab-b2e6-4523-93ef-c309e000c746", vhdxRequired | vhdxOfDisk, id},
		{"8141bf1d-a96f-4709-ba47-f233a8faab5f", vhdxRequired | vhdxOfDisk, u32(nil, vhdxSector)},
		{"cda348c7-445d-4471-9cc9-e9885251c556", vhdxRequired | vhdxOfDisk, u32(nil, vhdxSector)}, // physical
	}
	b := make([]byte, vhdxItems)
	copy(b, "metadata")
	binary.LittleEndian.PutUint16(b[10:], uint16(len(items)))
	for i, item := range items {
		e := b[32+32*i:]
		putGUID(e, item.guid)
		binary.LittleEndian.PutUint32(e[16:], uint32(len(b)))
		binary.LittleEndian.PutUint32(e[20:], uint32(len(item.data)))
		binary.LittleEndian.PutUint32(e[24:], item.flags)
		b = append(b, item.data...)
	}
	return b
}

// putGUID writes an identifier, spelled correctly, as Microsoft's formats do.
func putGUID(b []byte, id string) {
	raw, _ := disk.ParseGUID(id)
	copy(b, raw[:])
}

// checksummed gives a structure its CRC-32C.
func checksummed(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}
