package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// ErrNotSettled is why SettleExt leaves a filesystem alone: it has a layout that it does not know.
var ErrNotSettled = errors.New("times cannot be settled")

// SettleExt makes what an unmounted ext2, ext3 or ext4 holds independent of when it was written: every time since
// a moment becomes another, generations of new inodes follow their numbers, freed inodes are emptied, and the journal,
// which must be clean, holds nothing (Linux, Documentation/filesystems/ext4).
func SettleExt(f ReadWriterAt, since, at time.Time) error {
	e := &extSettler{f: f, since: since.Unix(), at: at.Unix()}
	if err := e.readSuper(); err != nil {
		return err
	}
	for g := range e.groups() {
		if err := e.group(g); err != nil {
			return fmt.Errorf("block group %d: %w", g, err)
		}
	}
	if err := e.journal(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return e.writeSuper()
}

// ReadWriterAt is a filesystem's bytes.
type ReadWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

type extSettler struct {
	f         ReadWriterAt
	since, at int64 // seconds since 1970
	super     [1024]byte
	block     int64 // bytes
}

// Places in the superblock, in bytes.
const (
	extSuperAt      = 1024
	extMountTime    = 0x2c
	extWriteTime    = 0x30
	extMountCount   = 0x34
	extCheckTime    = 0x40
	extWritten      = 0x178 // KiB in the filesystem's life
	extWriteTimeHi  = 0x274
	extMountTimeHi  = 0x275
	extSuperSum     = 0x3fc
	extJournalInode = 0xe0
	extIncompatMeta = 0x10  // META_BG: descriptors are not in one piece
	extIncompatEA   = 0x400 // EA_INODE: values of attributes have inodes of their own
	extIncompat64   = 0x80
	extROMetaSum    = 0x400
)

func (e *extSettler) u16(at int) uint16 { return binary.LittleEndian.Uint16(e.super[at:]) }
func (e *extSettler) u32(at int) uint32 { return binary.LittleEndian.Uint32(e.super[at:]) }

func (e *extSettler) readSuper() error {
	if _, err := e.f.ReadAt(e.super[:], extSuperAt); err != nil {
		return err
	}
	if e.u16(0x38) != 0xef53 {
		return fmt.Errorf("%w: no ext filesystem", ErrNotSettled)
	}
	const mostShift = 6 // 64 KiB
	if e.u32(0x18) > mostShift || e.u32(0x28) == 0 || e.u32(0x28) > 1<<20 || e.u32(0)/e.u32(0x28) > 1<<20 {
		return fmt.Errorf("%w: the superblock is damaged", ErrNotSettled)
	}
	e.block = 1024 << e.u32(0x18)
	if size := e.inodeSize(); size < 128 || size > e.block || size&(size-1) != 0 {
		return fmt.Errorf("%w: inodes of %d bytes", ErrNotSettled, size)
	}
	const mostTable = 64 << 20 // bytes in memory
	if e.perGroup() > 8*e.block || e.perGroup()*e.inodeSize() > mostTable {
		return fmt.Errorf("%w: %d inodes in a group", ErrNotSettled, e.perGroup())
	}
	if odd := e.u32(0x60) & (extIncompatMeta | extIncompatEA); odd != 0 {
		return fmt.Errorf("%w: it has the feature meta_bg or ea_inode", ErrNotSettled)
	}
	return nil
}

func (e *extSettler) inodeSize() int64 {
	if e.u32(0x4c) == 0 { // the first revision
		return 128
	}
	return int64(e.u16(0x58))
}

func (e *extSettler) perGroup() int64 { return int64(e.u32(0x28)) }

func (e *extSettler) groups() int64 { return (int64(e.u32(0)) + e.perGroup() - 1) / e.perGroup() }

// descriptor is where the bitmap and the table of a group's inodes lie, and how many at the end were never used.
func (e *extSettler) descriptor(group int64) (bitmap, table, unused int64, err error) {
	size := int64(32)
	if e.u32(0x60)&extIncompat64 != 0 && e.u16(0xfe) > 32 {
		size = int64(e.u16(0xfe))
	}
	d := make([]byte, max(size, 64))
	if _, err := e.f.ReadAt(d[:size], e.block*(int64(e.u32(0x14))+1)+group*size); err != nil {
		return 0, 0, 0, err
	}
	pair := func(lo, hi int) int64 {
		return int64(binary.LittleEndian.Uint32(d[lo:])) | int64(binary.LittleEndian.Uint32(d[hi:]))<<32
	}
	unused = int64(binary.LittleEndian.Uint16(d[0x1c:])) | int64(binary.LittleEndian.Uint16(d[0x32:]))<<16
	const uninitialized = 1
	if binary.LittleEndian.Uint16(d[0x12:])&uninitialized != 0 {
		unused = e.perGroup()
	}
	return pair(4, 0x24), pair(8, 0x28), min(unused, e.perGroup()), nil
}

func (e *extSettler) group(group int64) error {
	bitmapAt, tableAt, unused, err := e.descriptor(group)
	if err != nil {
		return err
	}
	used := make([]byte, e.block)
	if _, err := e.f.ReadAt(used, bitmapAt*e.block); err != nil {
		return err
	}
	size := e.inodeSize()
	table := make([]byte, (e.perGroup()-unused)*size)
	if _, err := e.f.ReadAt(table, tableAt*e.block); err != nil && len(table) > 0 {
		return err
	}
	for i := range e.perGroup() - unused {
		inode := table[i*size : (i+1)*size]
		number := group*e.perGroup() + i + 1
		if i/8 >= int64(len(used)) {
			return fmt.Errorf("%w: more inodes than their bitmap has", ErrNotSettled)
		}
		inUse := used[i/8]>>(i%8)&1 != 0
		changed, generation := e.inode(inode, uint32(number), inUse)
		if !changed {
			continue
		}
		if e.sums() && generation {
			if err := e.sumBlocks(inode, uint32(number)); err != nil {
				return fmt.Errorf("inode %d: %w", number, err)
			}
		}
		if e.sums() && inUse {
			e.sumInode(inode, uint32(number))
		}
		if _, err := e.f.WriteAt(inode, tableAt*e.block+i*size); err != nil {
			return err
		}
	}
	return nil
}

// extTimes are the places in an inode of the seconds of a time and of its further bits; the last is when it was made.
var extTimes = [][2]int{{8, 140}, {12, 132}, {16, 136}, {144, 148}}

// inode settles an inode, and tells whether that changed it, and its generation.
func (e *extSettler) inode(b []byte, number uint32, used bool) (changed, generation bool) {
	extra := 0
	if len(b) > 128+2 {
		extra = 128 + int(binary.LittleEndian.Uint16(b[128:]))
	}
	fresh := e.new(int64(binary.LittleEndian.Uint32(b[20:]))) // when it was deleted
	for i, t := range extTimes {
		if i == len(extTimes)-1 && extra < t[1]+4 {
			continue
		}
		seconds := int64(int32(binary.LittleEndian.Uint32(b[t[0]:])))
		if extra >= t[1]+4 {
			seconds += int64(binary.LittleEndian.Uint32(b[t[1]:])&3) << 32
		}
		if !e.new(seconds) {
			continue
		}
		changed = true
		binary.LittleEndian.PutUint32(b[t[0]:], uint32(e.at))
		if extra >= t[1]+4 {
			binary.LittleEndian.PutUint32(b[t[1]:], uint32((e.at-int64(int32(e.at)))>>32)&3)
		}
		if i == len(extTimes)-1 && number != e.orphans() {
			generation = true
			binary.LittleEndian.PutUint32(b[100:], number)
		}
	}
	if changed { // a count of changes, some of which are the kernel's own
		binary.LittleEndian.PutUint32(b[36:], 1)
		if extra >= 156 {
			clear(b[152:156])
		}
	}
	if !used && (changed || fresh) {
		clear(b)
		return true, false
	}
	return changed, generation
}

// orphans is the inode of the file that lists what is to be deleted, where there is one: the checksums of its blocks are
// made with its generation, which is the same whenever the filesystem is made.
func (e *extSettler) orphans() uint32 {
	const compatible, orphanFile, inode = 0x5c, 0x1000, 0x280
	if e.u32(compatible)&orphanFile == 0 {
		return 0
	}
	return e.u32(inode)
}

func (e *extSettler) new(seconds int64) bool { return seconds >= e.since }

// journal empties the journal, whose superblock says that there is nothing to replay.
func (e *extSettler) journal() error {
	number := int64(e.u32(extJournalInode))
	if number == 0 {
		return nil
	}
	_, table, _, err := e.descriptor((number - 1) / e.perGroup())
	if err != nil {
		return err
	}
	inode := make([]byte, 128)
	if _, err := e.f.ReadAt(inode, table*e.block+(number-1)%e.perGroup()*e.inodeSize()); err != nil {
		return err
	}
	const extents = 0x80000
	if binary.LittleEndian.Uint32(inode[32:])&extents == 0 {
		return fmt.Errorf("%w: its journal has no extents", ErrNotSettled)
	}
	var blocks []int64
	if err := e.extentNode(inode[40:100], e.seed(inode, uint32(number)), func(_, block int64) error {
		blocks = append(blocks, block)
		return nil
	}); err != nil || len(blocks) == 0 {
		return err
	}
	head := make([]byte, 1024)
	if _, err := e.f.ReadAt(head, blocks[0]*e.block); err != nil {
		return err
	}
	const magic, atSequence, atStart, atFeatures, atHead, atSum = 0xc03b3998, 0x18, 0x1c, 0x28, 0x58, 0xfc
	if binary.BigEndian.Uint32(head) != magic || binary.BigEndian.Uint32(head[atStart:]) != 0 {
		return fmt.Errorf("%w: its journal is not clean", ErrNotSettled)
	}
	binary.BigEndian.PutUint32(head[atSequence:], 1)
	binary.BigEndian.PutUint32(head[atHead:], 0)
	const checksums = 0x8 | 0x10 // of version 2 or 3
	if binary.BigEndian.Uint32(head[atFeatures:])&checksums != 0 {
		clear(head[atSum : atSum+4])
		binary.BigEndian.PutUint32(head[atSum:], extSum(extSumStart, head))
	}
	if _, err := e.f.WriteAt(head, blocks[0]*e.block); err != nil {
		return err
	}
	for _, block := range blocks[1:] {
		if err := zero(e.f, block*e.block, e.block); err != nil {
			return err
		}
	}
	return nil
}

// zero writes zeros where there is anything else.
func zero(f ReadWriterAt, at, n int64) error {
	have := make([]byte, n)
	if _, err := f.ReadAt(have, at); err != nil {
		return err
	}
	if !slices.ContainsFunc(have, func(b byte) bool { return b != 0 }) {
		return nil
	}
	clear(have)
	_, err := f.WriteAt(have, at)
	return err
}

func (e *extSettler) writeSuper() error {
	for _, t := range [][2]int{{extMountTime, extMountTimeHi}, {extWriteTime, extWriteTimeHi}, {extCheckTime, 0x276}} {
		if e.new(int64(e.u32(t[0]))) {
			binary.LittleEndian.PutUint32(e.super[t[0]:], uint32(e.at))
			e.super[t[1]] = byte(e.at >> 32)
		}
	}
	clear(e.super[extWritten : extWritten+8])
	clear(e.super[extMountCount : extMountCount+2])
	if e.sums() {
		binary.LittleEndian.PutUint32(e.super[extSuperSum:], extSum(extSumStart, e.super[:extSuperSum]))
	}
	_, err := e.f.WriteAt(e.super[:], extSuperAt)
	return err
}
