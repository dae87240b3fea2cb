package image

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// qcow2 is what a qcow2 file says of where its clusters lie (QEMU, docs/interop/qcow2.rst). Copying
// them within the kernel is several times faster than qemu-img, which reads and writes them.
type qcow2 struct {
	r       io.ReaderAt
	file    int64    // size of the file in bytes
	size    int64    // size of the disk in bytes
	cluster int64    // size of a cluster in bytes
	l1      []uint64 // where the tables of clusters lie
}

// errQCOW2 is an image that only qemu-img can read: one with compressed clusters, say.
var errQCOW2 = fmt.Errorf("this qcow2 image cannot be read cluster by cluster: %w", errMapped)

// Bits of an entry of a table.
const (
	qcow2Offset     = 0x00fffffffffffe00
	qcow2Compressed = 1 << 62
	qcow2Zero       = 1 // version 3
)

// openQCOW2 reads the header and the first table. It refuses whatever needs more than the tables.
func openQCOW2(r io.ReaderAt, file int64) (*qcow2, error) {
	h := make([]byte, 104)
	if _, err := r.ReadAt(h, 0); err != nil {
		return nil, fmt.Errorf("%w: its header is short", errQCOW2)
	}
	u32, u64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	version, bits, size := u32(h[4:]), u32(h[20:]), u64(h[24:])
	backing, encryption, entries := u64(h[8:]), u32(h[32:]), int64(u32(h[36:]))
	switch {
	case version < 2 || version > 3 || bits < 9 || bits > 21 || size == 0 || size > 64<<40,
		backing != 0, encryption != 0, version == 3 && u64(h[72:]) != 0: // incompatible features
		return nil, fmt.Errorf("%w: it has features that need more than its tables", errQCOW2)
	}
	q := &qcow2{r: r, file: file, size: int64(size), cluster: 1 << bits}
	if need := (q.size + q.span() - 1) / q.span(); entries < need || entries > 4<<20 {
		return nil, fmt.Errorf("%w: its first table has %d entries, a disk of %d bytes takes %d", errQCOW2, entries, q.size, need)
	}
	table := make([]byte, entries*8)
	if _, err := r.ReadAt(table, int64(u64(h[40:]))); err != nil {
		return nil, fmt.Errorf("%w: its first table cannot be read", errQCOW2)
	}
	for ; len(table) > 0; table = table[8:] {
		q.l1 = append(q.l1, u64(table))
	}
	return q, nil
}

// span is how many bytes of the disk one table of clusters describes.
func (q *qcow2) span() int64 { return q.cluster / 8 * q.cluster }

// each calls f for every stretch of the disk that lies in one piece in the file, in the disk's order.
func (q *qcow2) each(ctx context.Context, f func(from, to, n int64) error) error {
	table := make([]byte, q.cluster)
	for i := int64(0); i*q.span() < q.size; i++ {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		at := int64(q.l1[i] & qcow2Offset)
		if at == 0 {
			continue
		}
		if _, err := q.r.ReadAt(table, at); err != nil {
			return fmt.Errorf("%w: its table at byte %d cannot be read", errQCOW2, at)
		}
		if err := q.eachIn(table, i*q.span(), f); err != nil {
			return err
		}
	}
	return nil
}

// eachIn is each for one table of clusters, which describes the disk from an offset on.
func (q *qcow2) eachIn(table []byte, to int64, f func(from, to, n int64) error) error {
	var start, target, n int64 // of the stretch so far
	for ; len(table) > 0 && to < q.size; table, to = table[8:], to+q.cluster {
		from, err := q.place(binary.BigEndian.Uint64(table))
		if err != nil {
			return err
		}
		if n > 0 && from == start+n && target+n == to {
			n += q.cluster
			continue
		}
		if n > 0 {
			if err := f(start, target, n); err != nil {
				return err
			}
		}
		start, target, n = from, to, 0
		if from > 0 {
			n = q.cluster
		}
	}
	if n == 0 {
		return nil
	}
	return f(start, target, min(n, q.size-target))
}

// place is where the cluster of a table's entry lies in the file; 0 is nowhere.
func (q *qcow2) place(entry uint64) (int64, error) {
	at := int64(entry & qcow2Offset)
	switch {
	case entry&qcow2Compressed != 0:
		return 0, fmt.Errorf("%w: it is compressed", errQCOW2)
	case entry&qcow2Zero != 0 || at == 0:
		return 0, nil
	case at%q.cluster != 0 || at >= q.file:
		return 0, fmt.Errorf("%w: a cluster lies at byte %d of %d", errQCOW2, at, q.file)
	}
	return at, nil
}

// copyTo fills dst, an empty file, with the disk's data. It changes nothing before all tables were
// read once, so that after errQCOW2 another program can begin anew.
func (q *qcow2) copyTo(ctx context.Context, dst, src *os.File, progress func(done, total int64)) error {
	if err := q.each(ctx, func(_, _, _ int64) error { return nil }); err != nil {
		return err
	}
	if err := dst.Truncate(q.size); err != nil {
		return err
	}
	err := q.each(ctx, func(from, to, n int64) error {
		n = min(n, q.file-from) // the file may lack the end of its last cluster
		for ; n > 0; from, to, n = from+chunk, to+chunk, n-chunk {
			if err := copyBlocks(ctx, dst, src, from, to, min(n, chunk)); err != nil {
				return fmt.Errorf("copy the clusters at byte %d: %w", to, err)
			}
			progress(to, q.size)
		}
		return context.Cause(ctx)
	})
	if err == nil {
		progress(q.size, q.size)
	}
	return err
}
