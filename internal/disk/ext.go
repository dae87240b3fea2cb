package disk

import (
	"encoding/binary"
	"errors"
	"io"
)

// Ext is what the superblock of an ext2, ext3 or ext4 filesystem says
// (Documentation/filesystems/ext4/super.rst).
type Ext struct {
	Extent
	Used     int64 // bytes
	Clean    bool  // it was unmounted, and no errors are known
	Recover  bool  // its journal has to be replayed
	Clusters bool  // blocks are allocated in clusters (bigalloc)
	Journal  ExtJournal
}

// ExtJournal is where a journal lies in a filesystem. The size is 0 where there is none, or one of a kind that
// tune2fs -J size= does not make.
type ExtJournal struct {
	Start int64 // bytes: where its first block is, in the order of the disk
	Size  int64 // bytes, a multiple of 1 MiB
}

var errNoExt = errors.New("no ext2, ext3 or ext4 filesystem")

// ReadExt reads the superblock of the filesystem on a partition.
func ReadExt(r io.ReaderAt) (Ext, error) {
	const magic, valid, failed, recover, wide, bigalloc = 0xef53, 1, 2, 0x4, 0x80, 0x200
	s := make([]byte, 1024)
	if _, err := r.ReadAt(s, 1024); err != nil {
		return Ext{}, err
	}
	le := binary.LittleEndian
	if le.Uint16(s[56:]) != magic {
		return Ext{}, errNoExt
	}
	block, count, free := int64(1024)<<le.Uint32(s[24:]), int64(le.Uint32(s[4:])), int64(le.Uint32(s[12:]))
	state, features := le.Uint16(s[58:]), le.Uint32(s[96:])
	if features&wide != 0 {
		count |= int64(le.Uint32(s[336:])) << 32
		free |= int64(le.Uint32(s[344:])) << 32
	}
	return Ext{
		Extent: Extent{count * block, block}, Used: (count - free) * block,
		Recover:  features&recover != 0,
		Clean:    state&valid != 0 && state&failed == 0 && features&recover == 0,
		Clusters: le.Uint32(s[100:])&bigalloc != 0,
		Journal:  readJournal(s, block),
	}, nil
}

// readJournal reads the copy of the journal's inode that the superblock keeps.
func readJournal(s []byte, block int64) ExtJournal {
	const hasJournal, fastCommit, journalInode, backup = 0x4, 0x400, 8, 1
	le := binary.LittleEndian
	if le.Uint32(s[92:])&(hasJournal|fastCommit) != hasJournal || le.Uint32(s[224:]) != journalInode || s[253] != backup {
		return ExtJournal{}
	}
	inode, size := s[268:328], int64(le.Uint32(s[328:]))<<32|int64(le.Uint32(s[332:]))
	start := firstExtent(inode) * block
	if start == 0 || size%(1<<20) != 0 {
		return ExtJournal{}
	}
	return ExtJournal{start, size}
}

// firstExtent is the first block, in the order of the disk, of a file whose extents are all in its inode; 0
// for other files (Documentation/filesystems/ext4/ifork.rst).
func firstExtent(inode []byte) (first int64) {
	const magic = 0xf30a
	le := binary.LittleEndian
	n, depth := int(le.Uint16(inode[2:])), le.Uint16(inode[6:])
	if le.Uint16(inode) != magic || depth != 0 || n > len(inode)/12-1 {
		return 0
	}
	for i := range n {
		e := inode[12*(i+1):]
		start := int64(le.Uint16(e[6:]))<<32 | int64(le.Uint32(e[8:]))
		if first == 0 || start < first {
			first = start
		}
	}
	return first
}
