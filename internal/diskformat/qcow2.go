package diskformat

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

var (
	qcow2 = Format{
		Name: "qcow2", Extensions: []string{".qcow2"}, About: "QEMU copy on write",
		driver: "qcow2", mark: mark{0, qcow2Magic}, probe: probeQCOW2, open: openQCOW2, node: nodeQCOW2, whole: true,
		pack: writeQCOW2, inPlace: folds, check: checkMagic(qcow2Magic), keep: keepQCOW2,
	}
	qcow2Zstd = Format{
		Name: "qcow2-zstd", Shares: ".qcow2", About: "QEMU copy on write, clusters compressed with zstd (QEMU 5.1 or newer)",
		driver: "qcow2", compressed: true, options: []string{"compression_type=zstd"}, check: checkMagic(qcow2Magic),
	}
)

const qcow2Magic = "QFI\xfb"

// probeQCOW2 leaves the size of the disk to qemu-img, which reads the whole header.
func probeQCOW2(f candidate) (Image, error) {
	head := make([]byte, qcow2HeaderSize)
	if _, err := f.ReadAt(head, 0); err != nil {
		return Image{}, err
	}
	return Image{Backing: f.allowBacking && refers(head)}, checkReferences(f, head, f.allowBacking)
}

// nodeQCOW2 keeps QEMU from opening further files that were not allowed, whatever the file says by now.
func nodeQCOW2(i Image, node map[string]any) {
	if !i.Backing {
		node["backing"] = nil
	}
}

// checkReferences refuses a qcow2 that refers to further files: whoever made it could have any file
// of this host read. QEMU itself would open them when it is only asked about the image.
func checkReferences(r io.ReaderAt, head []byte, allowed bool) error {
	if allowed || !refers(head) {
		return nil
	}
	const refusal = "this image refers to a further %s, which is read too only with --allow-backing-file"
	if at := backingAt(head); at != 0 {
		name := make([]byte, min(1023, binary.BigEndian.Uint32(head[16:])))
		n, _ := r.ReadAt(name, at)
		return fmt.Errorf(refusal, fmt.Sprintf("file, %q", name[:n]))
	}
	return fmt.Errorf(refusal, "file that holds its data")
}

// backingAt is where a qcow2 has the name of the file it lies on; 0 if there is none.
func backingAt(head []byte) int64 { return int64(binary.BigEndian.Uint64(head[8:])) }

// refers tells whether a qcow2 refers to further files.
func refers(head []byte) bool {
	version, incompatible := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint64(head[72:])
	const externalData = 1 << 2
	return backingAt(head) != 0 || version >= 3 && incompatible&externalData != 0
}

// qcow2Layout is what a qcow2 file says of where its clusters lie (QEMU, docs/interop/qcow2.rst). Copying
// them within the kernel is several times faster than qemu-img, which reads and writes them.
type qcow2Layout struct {
	r       io.ReaderAt
	file    int64    // size of the file in bytes
	disk    int64    // size of the disk in bytes
	cluster int64    // size of a cluster in bytes
	l1      []uint64 // where the tables of clusters lie
}

// errQCOW2 is an image that only qemu-img can read: one with compressed clusters, say.
var errQCOW2 = fmt.Errorf("this qcow2 image cannot be read cluster by cluster: %w", errLayout)

// Bits of an entry of a table.
const (
	qcow2Offset     = 0x00fffffffffffe00
	qcow2Compressed = 1 << 62
	qcow2Zero       = 1 // version 3
)

// openQCOW2 reads all tables once, so that what needs more than them is refused before anything was copied.
func openQCOW2(ctx context.Context, r io.ReaderAt, file int64) (layout, error) {
	q, err := readQCOW2(r, file)
	if err != nil {
		return nil, err
	}
	return q, q.each(ctx, func(_, _, _ int64) error { return nil })
}

// readQCOW2 reads the header and the first table.
func readQCOW2(r io.ReaderAt, file int64) (*qcow2Layout, error) {
	h := make([]byte, qcow2HeaderSize)
	if _, err := r.ReadAt(h, 0); err != nil {
		return nil, fmt.Errorf("%w: its header is short", errQCOW2)
	}
	u32, u64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	version, bits, size := u32(h[4:]), u32(h[20:]), u64(h[24:])
	backing, encryption, entries := u64(h[8:]), u32(h[32:]), int64(u32(h[36:]))
	switch {
	case version < 2 || version > 3 || bits < 9 || bits > 21 || size == 0 || size > largest,
		backing != 0, encryption != 0, version == 3 && u64(h[72:]) != 0: // incompatible features
		return nil, fmt.Errorf("%w: it has features that need more than its tables", errQCOW2)
	}
	q := &qcow2Layout{r: r, file: file, disk: int64(size), cluster: 1 << bits}
	if need := (q.disk + q.span() - 1) / q.span(); entries < need || entries > 4<<20 {
		return nil, fmt.Errorf("%w: its first table has %d entries, a disk of %d bytes takes %d", errQCOW2, entries, q.disk, need)
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

func (q *qcow2Layout) size() int64 { return q.disk }

// span is how many bytes of the disk one table of clusters describes.
func (q *qcow2Layout) span() int64 { return q.cluster / 8 * q.cluster }

func (q *qcow2Layout) each(ctx context.Context, f func(from, to, n int64) error) error {
	table := make([]byte, q.cluster)
	for i := int64(0); i*q.span() < q.disk; i++ {
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
func (q *qcow2Layout) eachIn(table []byte, to int64, f func(from, to, n int64) error) error {
	var start, target, n int64 // of the extent so far
	found := func() error {    // the file may lack the end of its last cluster
		if n = min(n, q.disk-target, q.file-start); n <= 0 {
			return nil
		}
		return f(start, target, n)
	}
	for ; len(table) > 0 && to < q.disk; table, to = table[8:], to+q.cluster {
		from, err := q.place(binary.BigEndian.Uint64(table))
		if err != nil {
			return err
		}
		if n > 0 && from == start+n && target+n == to {
			n += q.cluster
			continue
		}
		if err := found(); err != nil {
			return err
		}
		start, target, n = from, to, 0
		if from > 0 {
			n = q.cluster
		}
	}
	return found()
}

// place is where the cluster of a table's entry lies in the file; 0 is nowhere.
func (q *qcow2Layout) place(entry uint64) (int64, error) {
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

// A qcow2 file, version 3, with clusters of 64 KiB (QEMU, docs/interop/qcow2.rst): the header, the
// clusters with data, the second tables, the first one, and the counts of references to clusters.
const (
	qcow2Bits       = 16
	qcow2Cluster    = 1 << qcow2Bits
	qcow2Span       = qcow2Cluster / 8 * qcow2Cluster // bytes of the disk that a second table describes
	qcow2Counts     = qcow2Cluster / 2                // clusters that a block of 16-bit counts describes
	qcow2Copied     = 1 << 63                         // in an entry: referred to once
	qcow2HeaderSize = 104
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
	b := make([]byte, qcow2HeaderSize+8)
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
	u32(b[100:], qcow2HeaderSize)
	return b
}
