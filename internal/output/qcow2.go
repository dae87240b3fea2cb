package output

import (
	"context"
	"encoding/binary"
	"os"
)

// A qcow2 file, version 3, with clusters of 64 KiB (QEMU, docs/interop/qcow2.rst): the header, the
// clusters with data, the second tables, the first one, and the counts of references to clusters.
const (
	qcow2Bits     = 16
	qcow2Cluster  = 1 << qcow2Bits
	qcow2Span     = qcow2Cluster / 8 * qcow2Cluster // bytes of the disk that a second table describes
	qcow2Counts   = qcow2Cluster / 2                // clusters that a block of 16-bit counts describes
	qcow2Copied   = 1 << 63                         // in an entry: referred to once
	qcow2HeaderV3 = 104
)

// qcow2File is a qcow2 file while it is being written. The same disk makes the same file.
type qcow2File struct {
	packer
	out  *os.File
	size int64 // of the disk
	next int64 // where the next table goes
}

// writeQCOW2 writes a disk as uncompressed qcow2.
func writeQCOW2(ctx context.Context, _ Identity, disk *os.File, size int64, out *os.File, progress func(done, total int64)) error {
	q := &qcow2File{packer: packer{block: qcow2Cluster, first: qcow2Cluster}, out: out, size: size}
	if err := q.pack(ctx, out, disk, size, progress); err != nil {
		return err
	}
	q.next = q.end()
	l1, err := q.table(q.secondTables())
	if err != nil {
		return err
	}
	counts, err := q.table(q.counts())
	if err != nil {
		return err
	}
	if err := out.Truncate(q.next); err != nil {
		return err
	}
	_, err = out.WriteAt(q.header(l1, counts), 0)
	return err
}

// table writes a table of 64-bit entries, which its parts were written for, and returns its place.
func (q *qcow2File) table(entries []uint64, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	b := make([]byte, 0, len(entries)*8)
	for _, e := range entries {
		b = binary.BigEndian.AppendUint64(b, e)
	}
	return q.append(b)
}

// append writes whole clusters.
func (q *qcow2File) append(b []byte) (at int64, err error) {
	at = q.next
	q.next += clusters(int64(len(b))) * qcow2Cluster
	_, err = q.out.WriteAt(b, at)
	return at, err
}

// clusters is how many clusters so many bytes take.
func clusters(n int64) int64 { return (n + qcow2Cluster - 1) / qcow2Cluster }

// secondTables writes the tables that say where clusters lie, and returns the table of these tables.
func (q *qcow2File) secondTables() ([]uint64, error) {
	l1 := make([]uint64, (q.size+qcow2Span-1)/qcow2Span)
	const entries = qcow2Cluster / 8
	for i := 0; i < len(q.blocks); {
		n := q.blocks[i] / entries
		table := make([]byte, qcow2Cluster)
		for ; i < len(q.blocks) && q.blocks[i]/entries == n; i++ {
			binary.BigEndian.PutUint64(table[q.blocks[i]%entries*8:], uint64(q.at(i))|qcow2Copied)
		}
		at, err := q.append(table)
		if err != nil {
			return nil, err
		}
		l1[n] = uint64(at) | qcow2Copied
	}
	return l1, nil
}

// counts writes the counts of references to all clusters, their own included, each of which is 1, and
// returns the table of where they lie.
func (q *qcow2File) counts() ([]uint64, error) {
	used := q.next / qcow2Cluster
	blocks, all := int64(0), used
	for n := int64(1); n != blocks; n = (all + qcow2Counts - 1) / qcow2Counts {
		blocks, all = n, used+n+clusters(n*8)
	}
	ones := make([]byte, blocks*qcow2Cluster)
	for i := range all {
		ones[i*2+1] = 1
	}
	at, err := q.append(ones)
	var table []uint64
	for i := range blocks {
		table = append(table, uint64(at+i*qcow2Cluster))
	}
	return table, err
}

// header is the first cluster's content; an extension of type 0 and the length 0 ends it.
func (q *qcow2File) header(l1, counts int64) []byte {
	b := make([]byte, qcow2HeaderV3+8)
	copy(b, "QFI\xfb")
	u32, u64 := binary.BigEndian.PutUint32, binary.BigEndian.PutUint64
	u32(b[4:], 3)
	u32(b[20:], qcow2Bits)
	u64(b[24:], uint64(q.size))
	u32(b[36:], uint32((q.size+qcow2Span-1)/qcow2Span))
	u64(b[40:], uint64(l1))
	u64(b[48:], uint64(counts))
	u32(b[56:], uint32((q.next-counts)/qcow2Cluster))
	u32(b[96:], 4) // counts of 1<<4 bits
	u32(b[100:], qcow2HeaderV3)
	return b
}
