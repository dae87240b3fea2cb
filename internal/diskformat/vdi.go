package diskformat

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"imagecustomizer/internal/disk"
)

var vdi = Format{
	Name: "vdi", Extensions: []string{".vdi"}, About: "VirtualBox",
	driver: "vdi", mark: mark{vdiMarkAt, vdiMark}, probe: probeVDI, open: openVDI,
	pack: writeVDI, inPlace: folds, accepts: acceptVDI, check: checkVDI, keep: keepVDI,
}

// A VDI file, version 1.1, is a header, the table of blocks, and the blocks with data. All numbers are little
// endian. VirtualBox's VDICore.h describes it; these are the places of what is needed here.
const (
	vdiMarkAt    = 0x40
	vdiMark      = "\x7f\x10\xda\xbe"
	vdiVersion   = 0x44
	vdiLength    = 0x48 // of the header, from here on
	vdiType      = 0x4c
	vdiTableAt   = 0x154
	vdiDataAt    = 0x158
	vdiSector    = 0x168
	vdiDisk      = 0x170
	vdiBlockSize = 0x178
	vdiExtra     = 0x17c // bytes before each block
	vdiBlocks    = 0x180
	vdiUsed      = 0x184
	vdiCreated   = 0x188 // identifier, as is the next
	vdiModified  = 0x198
	vdiParent    = 0x1a8 // identifiers of the parent and of its state
	vdiParentEnd = 0x1c8
	vdiSector2   = 0x1d4
	vdiHeader    = 0x200
)

const (
	vdiBlock   = 1 * mib // QEMU reads no other size
	vdiNowhere = 0xfffffffe
	vdiDynamic = 1
	vdiStatic  = 2
)

func acceptVDI(size int64, sector int) error {
	if size > largest {
		return fmt.Errorf("a VDI holds at most %d TiB and the disk has %d bytes: use raw", largest>>40, size)
	}
	return smallSectors("VDI", sector)
}

// vdiLayout is what a VDI file says of where its blocks lie.
type vdiLayout struct {
	r           io.ReaderAt
	file        int64 // size of the file in bytes
	disk        int64 // size of the disk in bytes
	table, data int64 // where the table and the first block lie
	blocks      int64 // that the disk has
}

// readVDI reads the header. It refuses what needs a parent or cannot be true.
func readVDI(r io.ReaderAt, file int64) (*vdiLayout, error) {
	h := make([]byte, vdiHeader)
	if _, err := r.ReadAt(h, 0); err != nil {
		return nil, fmt.Errorf("this VDI is shorter than its header: %w", disk.ErrTruncated)
	}
	u32 := func(at int) int64 { return int64(binary.LittleEndian.Uint32(h[at:])) }
	size := binary.LittleEndian.Uint64(h[vdiDisk:])
	v := &vdiLayout{r: r, file: file, disk: int64(size), table: u32(vdiTableAt), data: u32(vdiDataAt), blocks: u32(vdiBlocks)}
	kind := u32(vdiType)
	switch {
	case u32(vdiVersion) != 1<<16|1:
		return nil, fmt.Errorf("this VDI is of version %d.%d; 1.1 can be read", u32(vdiVersion)>>16, u32(vdiVersion)&0xffff)
	case kind != vdiDynamic && kind != vdiStatic, string(h[vdiParent:vdiParentEnd]) != string(make([]byte, vdiParentEnd-vdiParent)):
		return nil, errors.New("this is a VDI of changes to another one, which it needs; merge them first")
	case u32(vdiBlockSize) != vdiBlock || u32(vdiExtra) != 0 || u32(vdiSector) != 512:
		return nil, fmt.Errorf("this VDI has blocks of %d bytes with %d before each, and sectors of %d; only blocks of 1 MiB with none, and sectors of 512, can be read",
			u32(vdiBlockSize), u32(vdiExtra), u32(vdiSector))
	case size == 0 || size > largest || size%512 != 0 || v.blocks < (v.disk+vdiBlock-1)/vdiBlock:
		return nil, fmt.Errorf("this VDI says that %d blocks are a disk of %d bytes: the file is damaged", v.blocks, size)
	case v.table < vdiHeader || v.table%512 != 0 || v.data%512 != 0 || v.data < v.table+v.blocks*4:
		return nil, errors.New("the table of blocks of this VDI lies where other things are: the file is damaged")
	case v.data > file:
		return nil, fmt.Errorf("this VDI ends within its table of blocks: %w", disk.ErrTruncated)
	}
	return v, nil
}

func openVDI(_ context.Context, r io.ReaderAt, file int64) (layout, error) {
	v, err := readVDI(r, file)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (v *vdiLayout) size() int64 { return v.disk }

func (v *vdiLayout) each(ctx context.Context, f func(from, to, n int64) error) error {
	const part = 64 << 10 // entries read at once
	table := make([]byte, part*4)
	for first := int64(0); first*vdiBlock < v.disk; first += part {
		n := min(part, v.blocks-first)
		if _, err := v.r.ReadAt(table[:n*4], v.table+first*4); err != nil {
			return fmt.Errorf("read the table of blocks: %w", err)
		}
		for i := range n {
			to := (first + i) * vdiBlock
			e := int64(binary.LittleEndian.Uint32(table[i*4:]))
			if e >= vdiNowhere || to >= v.disk {
				continue
			}
			from, n := v.data+e*vdiBlock, min(vdiBlock, v.disk-to)
			if from+n > v.file {
				return fmt.Errorf("a block of this VDI lies at byte %d of %d: %w", from, v.file, disk.ErrTruncated)
			}
			if err := f(from, to, n); err != nil {
				return err
			}
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// whole tells whether all blocks lie in the file, and how many there are.
func (v *vdiLayout) whole() (blocks int64, err error) {
	err = v.each(context.Background(), func(_, _, _ int64) error { blocks++; return nil })
	return blocks, err
}

// probeVDI looks for all blocks, which QEMU does not.
func probeVDI(f candidate) (Image, error) {
	v, err := readVDI(f, f.size)
	if err != nil {
		return Image{}, err
	}
	_, err = v.whole()
	return Image{Size: v.disk}, err
}

// checkVDI counts the blocks, too: VirtualBox puts the next one where so many end.
func checkVDI(r io.ReaderAt, s sizes) error {
	v, err := readVDI(r, s.file)
	if err != nil {
		return err
	}
	var b [4]byte
	blocks, err := v.whole()
	if _, err1 := r.ReadAt(b[:], vdiUsed); err == nil {
		err = err1
	}
	if used := int64(binary.LittleEndian.Uint32(b[:])); err == nil && (used != blocks || v.data+blocks*vdiBlock != s.file) {
		err = fmt.Errorf("the VDI counts %d blocks, its table %d, in %d bytes", used, blocks, s.file)
	}
	return err
}

// writeVDI writes a disk as a VDI that grows. Its last block is whole even if the disk ends within: VirtualBox
// reads all of it.
func writeVDI(ctx context.Context, id Identity, disk *os.File, size int64, out *os.File, progress func(done, total int64)) error {
	blocks := (size + vdiBlock - 1) / vdiBlock
	p := packer{block: vdiBlock, first: (vdiHeader + blocks*4 + vdiBlock - 1) / vdiBlock * vdiBlock}
	if err := p.pack(ctx, out, disk, size, progress); err != nil {
		return err
	}
	if err := out.Truncate(p.end()); err != nil {
		return err
	}
	h := make([]byte, vdiHeader+blocks*4)
	copy(h, "<<< Oracle VM VirtualBox Disk Image >>>\n")
	copy(h[vdiMarkAt:], vdiMark)
	for at, value := range map[int]uint32{
		vdiVersion: 1<<16 | 1, vdiLength: 0x190, vdiType: vdiDynamic, vdiTableAt: vdiHeader, vdiDataAt: uint32(p.first),
		vdiSector: 512, vdiBlockSize: vdiBlock, vdiBlocks: uint32(blocks), vdiUsed: uint32(len(p.blocks)), vdiSector2: 512,
	} {
		binary.LittleEndian.PutUint32(h[at:], value)
	}
	binary.LittleEndian.PutUint64(h[vdiDisk:], uint64(size))
	putGUID(h[vdiCreated:], id.id("vdi").String())
	putGUID(h[vdiModified:], id.id("vdi state").String())
	table := h[vdiHeader:]
	for i := range table {
		table[i] = 0xff
	}
	for i, n := range p.blocks {
		binary.LittleEndian.PutUint32(table[n*4:], uint32(i))
	}
	_, err := out.WriteAt(h, 0)
	return err
}
