package disk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Checksums of ext4 (Linux, Documentation/filesystems/ext4/checksums.rst): CRC-32C that begins with all bits set and is
// not inverted at the end. That of an inode, and of the blocks that belong to it, begins with its number and its
// generation.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// extSum continues a checksum.
func extSum(sum uint32, b []byte) uint32 { return ^crc32.Update(^sum, castagnoli, b) }

const extSumStart = ^uint32(0)

func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

// sums tells whether the filesystem has checksums of its metadata.
func (e *extSettler) sums() bool { return e.u32(0x64)&extROMetaSum != 0 }

// seed begins the checksums of an inode.
func (e *extSettler) seed(inode []byte, number uint32) uint32 {
	const own = 0x2000 // the superblock has it
	seed := extSum(extSumStart, e.super[0x68:0x78])
	if e.u32(0x60)&own != 0 {
		seed = e.u32(0x270)
	}
	return extSum(extSum(seed, le32(number)), inode[100:104])
}

// sumInode sets the checksum of an inode, of which the high half is there only in larger ones.
func (e *extSettler) sumInode(inode []byte, number uint32) {
	const low, high = 124, 130
	wide := len(inode) > 128 && binary.LittleEndian.Uint16(inode[128:]) >= high+2-128
	clear(inode[low : low+2])
	if wide {
		clear(inode[high : high+2])
	}
	sum := extSum(e.seed(inode, number), inode)
	binary.LittleEndian.PutUint16(inode[low:], uint16(sum))
	if wide {
		binary.LittleEndian.PutUint16(inode[high:], uint16(sum>>16))
	}
}

// sumBlocks sets the checksums of the blocks that belong to an inode: of its extents and, for a directory, of its
// entries.
func (e *extSettler) sumBlocks(inode []byte, number uint32) error {
	const directory, extents = 0x4000, 0x80000
	mode, flags := binary.LittleEndian.Uint16(inode)&0xf000, binary.LittleEndian.Uint32(inode[32:])
	if flags&extents == 0 {
		return nil // small links and files in the inode itself; blocks without extents have no checksums
	}
	return e.extentNode(inode[40:100], e.seed(inode, number), func(logical, block int64) error {
		if mode != directory {
			return nil
		}
		return e.sumDirectory(block, logical == 0, flags, e.seed(inode, number))
	})
}

// extentNode goes through an extent tree, sets the checksum of each block of it, and visits the blocks of the file.
func (e *extSettler) extentNode(node []byte, seed uint32, visit func(logical, block int64) error) error {
	const magic, deepest = 0xf30a, 5
	entries, depth := int(binary.LittleEndian.Uint16(node[2:])), binary.LittleEndian.Uint16(node[6:])
	if binary.LittleEndian.Uint16(node) != magic || depth > deepest || 12*(entries+1) > len(node) {
		return fmt.Errorf("%w: a damaged extent tree", ErrNotSettled)
	}
	for i := range entries {
		x := node[12*(i+1):]
		if depth > 0 {
			child := int64(binary.LittleEndian.Uint32(x[4:])) | int64(binary.LittleEndian.Uint16(x[8:]))<<32
			if err := e.extentBlock(child, depth, seed, visit); err != nil {
				return err
			}
			continue
		}
		first, length := int64(binary.LittleEndian.Uint32(x)), int64(binary.LittleEndian.Uint16(x[4:]))
		start := int64(binary.LittleEndian.Uint32(x[8:])) | int64(binary.LittleEndian.Uint16(x[6:]))<<32
		for b := range length & 0x7fff {
			if err := visit(first+b, start+b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *extSettler) extentBlock(block int64, depth uint16, seed uint32, visit func(logical, block int64) error) error {
	data := make([]byte, e.block)
	if _, err := e.f.ReadAt(data, block*e.block); err != nil {
		return err
	}
	if binary.LittleEndian.Uint16(data[6:]) != depth-1 {
		return fmt.Errorf("%w: a damaged extent tree", ErrNotSettled)
	}
	if err := e.extentNode(data, seed, visit); err != nil {
		return err
	}
	tail := 12 * (int64(binary.LittleEndian.Uint16(data[4:])) + 1)
	if tail+4 > e.block {
		return fmt.Errorf("%w: an extent block without a checksum", ErrNotSettled)
	}
	binary.LittleEndian.PutUint32(data[tail:], extSum(seed, data[:tail]))
	_, err := e.f.WriteAt(data, block*e.block)
	return err
}

// sumDirectory sets the checksum of a block of a directory: of entries, or of its index.
func (e *extSettler) sumDirectory(block int64, first bool, flags, seed uint32) error {
	const indexed, tailSize, tailMark = 0x1000, 12, 0xde
	b := make([]byte, e.block)
	if _, err := e.f.ReadAt(b, block*e.block); err != nil {
		return err
	}
	tail := b[e.block-tailSize:]
	switch {
	case flags&indexed != 0 && first:
		return e.sumIndex(b, block, 0x18+int(b[0x1d]), seed)
	case flags&indexed != 0 && binary.LittleEndian.Uint32(b) == 0 && int64(binary.LittleEndian.Uint16(b[4:])) == e.block%(1<<16):
		return e.sumIndex(b, block, 8, seed)
	case binary.LittleEndian.Uint16(tail[4:]) != tailSize || tail[7] != tailMark:
		return fmt.Errorf("%w: a block of a directory without a checksum", ErrNotSettled)
	}
	binary.LittleEndian.PutUint32(tail[8:], extSum(seed, b[:e.block-tailSize]))
	_, err := e.f.WriteAt(b, block*e.block)
	return err
}

// sumIndex sets the checksum of a block of an index, whose entries begin with their most and their number.
func (e *extSettler) sumIndex(b []byte, block int64, at int, seed uint32) error {
	limit, count := int(binary.LittleEndian.Uint16(b[at:])), int(binary.LittleEndian.Uint16(b[at+2:]))
	tail := at + 8*limit
	if count > limit || tail+8 > len(b) {
		return fmt.Errorf("%w: a damaged index of a directory", ErrNotSettled)
	}
	sum := extSum(extSum(seed, b[:at+8*count]), b[tail:tail+4])
	binary.LittleEndian.PutUint32(b[tail+4:], extSum(sum, make([]byte, 4)))
	_, err := e.f.WriteAt(b, block*e.block)
	return err
}
