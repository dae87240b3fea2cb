package disk

import (
	"encoding/binary"
	"errors"
	"io"
)

// FATSpace tells how much a FAT filesystem holds and how much is free, in bytes. It counts the table (Microsoft FAT
// specification 1.03, sections 3 and 4), since a copy of the filesystem, or a number that it keeps, says neither.
func FATSpace(r io.ReaderAt) (size, free int64, err error) {
	f, err := fatSizesOf(r)
	if err != nil {
		return 0, 0, err
	}
	n, err := freeClusters(f.table(r), f.clusters)
	return f.clusters * f.cluster, n * f.cluster, err
}

// FATSize tells how much a FAT filesystem can hold, and how large its clusters are, in bytes: each file takes whole ones.
func FATSize(r io.ReaderAt) (size, cluster int64, err error) {
	f, err := fatSizesOf(r)
	return f.clusters * f.cluster, f.cluster, err
}

// fatSizes are sizes of a FAT filesystem, in bytes, and the number of its clusters.
type fatSizes struct{ clusters, cluster, tableAt, tableSize int64 }

func (f fatSizes) table(r io.ReaderAt) io.ReaderAt {
	return io.NewSectionReader(r, f.tableAt, f.tableSize)
}

func fatSizesOf(r io.ReaderAt) (f fatSizes, err error) {
	b := make([]byte, 512)
	if _, err := r.ReadAt(b, 0); err != nil {
		return f, err
	}
	le := binary.LittleEndian
	sector, cluster := int64(le.Uint16(b[11:])), int64(b[13])
	reserved, copies, table := int64(le.Uint16(b[14:])), int64(b[16]), int64(le.Uint16(b[22:]))
	sectors := int64(le.Uint16(b[19:]))
	if sectors == 0 {
		sectors = int64(le.Uint32(b[32:]))
	}
	if table == 0 {
		table = int64(le.Uint32(b[36:]))
	}
	if sector < 512 || cluster == 0 || reserved == 0 || copies == 0 || table == 0 {
		return f, errors.New("it is not a FAT filesystem")
	}
	roots := (int64(le.Uint16(b[17:]))*32 + sector - 1) / sector
	clusters := (sectors - reserved - copies*table - roots) / cluster
	if clusters <= 0 || clusters > maxClusters || clusters > table*sector*8/fatBits(clusters) {
		return f, errors.New("its sizes contradict each other")
	}
	return fatSizes{clusters, cluster * sector, reserved * sector, table * sector}, nil
}

// maxClusters bounds what is read of a table. A partition of 8 GiB has no more with the smallest clusters.
const maxClusters = 1 << 24

// fatBits is how large an entry of the table is, which the number of clusters decides.
func fatBits(clusters int64) int64 {
	switch {
	case clusters < 4085:
		return 12
	case clusters < 65525:
		return 16
	}
	return 32
}

// freeClusters counts the entries that are zero. The first two are for no cluster.
func freeClusters(table io.ReaderAt, clusters int64) (free int64, err error) {
	bits := fatBits(clusters)
	data := make([]byte, ((clusters+2)*bits+7)/8+1)
	if n, err := table.ReadAt(data, 0); err != nil && n < len(data)-1 {
		return 0, err
	}
	for i := int64(2); i < clusters+2; i++ {
		at := i * bits / 8
		value := uint32(data[at]) | uint32(data[at+1])<<8
		switch {
		case bits == 12 && i%2 == 1:
			value >>= 4
		case bits == 12:
			value &= 0xfff
		case bits == 32:
			value |= uint32(data[at+2])<<16 | uint32(data[at+3])<<24&0x0f000000
		}
		if value == 0 {
			free++
		}
	}
	return free, nil
}
