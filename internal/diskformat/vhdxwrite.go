package diskformat

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"unicode/utf16"

	"imagecustomizer/internal/disk"
)

// A dynamic VHDX file ([MS-VHDX], Virtual Hard Disk v2 File Format): the header section, an empty
// log, the metadata, the table of blocks, and the blocks with data. qemu-img writes the same, but
// through its log. Blocks of 2 MiB keep small images small.
const (
	vhdxBlock    = 2 * mib
	vhdxLog      = 1 * mib  // place and size
	vhdxMetadata = 2 * mib  // place; it takes 1 MiB
	vhdxTable    = 3 * mib  // place of the table of blocks
	vhdxItems    = 64 << 10 // from the begin of the metadata
)

// vhdxFile is a VHDX file while it is being written.
type vhdxFile struct {
	packer
	size   int64 // of the disk
	sector int   // size of its sectors, which are those that its partition table counts

	identity Identity
}

// writeVHDX writes a disk as dynamic VHDX.
func writeVHDX(ctx context.Context, id Identity, in *os.File, size int64, out *os.File, progress func(done, total int64)) error {
	v := &vhdxFile{packer: packer{block: vhdxBlock}, size: size, sector: disk.SectorSize(in), identity: id}
	v.first = vhdxTable + (v.entries()*8+mib-1)/mib*mib
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
		{vhdxTable, v.table()},
		{vhdxMetadata, v.metadata()},
		{vhdxRegions1, regions},
		{vhdxRegions2, regions},
		{vhdxHeader1, header},
		{vhdxHeader2, header},
		{0, identifier()},
	} {
		if _, err := out.WriteAt(part.data, part.at); err != nil {
			return err
		}
	}
	return nil
}

// entries is how many the table of blocks has.
func (v *vhdxFile) entries() int64 {
	blocks := (v.size + vhdxBlock - 1) / vhdxBlock
	return blocks + (blocks-1)/v.ratio()
}

// ratio is after how many blocks the table has an entry for a bitmap that is not there.
func (v *vhdxFile) ratio() int64 { return (1 << 23) * int64(v.sector) / vhdxBlock }

// table says where the blocks lie, in units of 1 MiB.
func (v *vhdxFile) table() []byte {
	b := make([]byte, v.entries()*8)
	for i, n := range v.blocks {
		binary.LittleEndian.PutUint64(b[(n+n/v.ratio())*8:], uint64(v.at(i))|vhdxPresent)
	}
	return b
}

// identifier begins the file, and says in UTF-16 what made it.
func identifier() []byte {
	b := []byte(vhdxMagic)
	for _, u := range utf16.Encode([]rune("imagecustomizer")) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// header says that the log is empty. It stands in the file twice; readers take the second where the
// numbers are the same.
func (v *vhdxFile) header() []byte {
	b := make([]byte, vhdxHeaderSize)
	copy(b, "head")
	binary.LittleEndian.PutUint64(b[8:], 1)
	putGUID(b[16:], v.identity.id("vhdx file").String()) // of the file's content
	putGUID(b[32:], v.identity.id("vhdx data").String()) // of the disk's content
	binary.LittleEndian.PutUint16(b[66:], 1)
	binary.LittleEndian.PutUint32(b[68:], vhdxLog)
	binary.LittleEndian.PutUint64(b[72:], vhdxLog)
	return checksummed(b)
}

// regions says where the table of blocks and the metadata lie.
func (v *vhdxFile) regions() []byte {
	b := make([]byte, vhdxRegionsSize)
	copy(b, "regi")
	binary.LittleEndian.PutUint32(b[8:], 2)
	for i, r := range []struct {
		guid     string
		at, size int64
	}{
		{vhdxTableID, vhdxTable, v.first - vhdxTable},
		{vhdxMetadataID, vhdxMetadata, mib},
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
	putGUID(id, v.identity.id("vhdx disk").String())
	items := []struct {
		guid  string
		flags uint32
		data  []byte
	}{
		{vhdxParametersID, vhdxRequired, u32(u32(nil, vhdxBlock), 0)}, // no parent
		{vhdxDiskSizeID, vhdxRequired | vhdxOfDisk, u64(nil, uint64(v.size))},
		{vhdxDiskID, vhdxRequired | vhdxOfDisk, id},
		{vhdxSectorSizeID, vhdxRequired | vhdxOfDisk, u32(nil, uint32(v.sector))},
		{"cda348c7-445d-4471-9cc9-e9885251c556", vhdxRequired | vhdxOfDisk, u32(nil, uint32(v.sector))}, // physical
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
