package output

import (
	"cmp"
	"context"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// leastHole is the least hole that is worth a frame of its own; smaller ones are compressed as zeros.
const leastHole = mib

// deflator says how a stretch of a disk becomes zstd frames.
type deflator struct {
	level int
	long  bool // look for matches as far back as a frame goes
}

// piece is a stretch of a file, of data or of nothing but a hole.
type piece struct {
	at, size int64
	hole     bool
}

// pieces cuts a stretch of a file at its large holes. A file that is all hole is one piece.
func pieces(f *os.File, at, size int64) (list []piece, err error) {
	end := at + size
	for pos := at; pos < end; {
		data, hole, err := nextData(f, pos, end)
		if err != nil {
			return nil, err
		}
		if data-pos >= leastHole || data == end {
			list = append(list, piece{pos, data - pos, true})
			pos = data
		}
		for hole > pos && hole < end { // take small holes along
			next, after, err := nextData(f, hole, end)
			if err != nil {
				return nil, err
			}
			if next-hole >= leastHole || next == end {
				break
			}
			hole = after
		}
		if hole > pos {
			list = append(list, piece{pos, hole - pos, false})
		}
		pos = max(hole, data)
	}
	return list, nil
}

// write compresses a stretch of a file to a region of another. progress gets the bytes of it that are done.
func (d deflator) write(ctx context.Context, f Source, at, size int64, to *region, progress func(done int64)) error {
	list, err := pieces(f.File, at, size)
	if err != nil {
		return err
	}
	run := d.begin(ctx, f, list, progress)
	defer run.end()
	return run.next(len(list), to)
}

// deflation is the compression of pieces, one after the other.
type deflation struct {
	pieces <-chan *deflating
	cancel context.CancelFunc
}

// begin begins to compress pieces of a file. The caller fetches all with next, and calls end when f may be
// closed. progress gets how many bytes have been read.
func (d deflator) begin(ctx context.Context, f Source, list []piece, progress func(done int64)) *deflation {
	ctx, cancel := context.WithCancel(ctx)
	return &deflation{d.start(ctx, f, list, progress), cancel}
}

// next writes the frames of the next n pieces.
func (r *deflation) next(n int, to *region) error {
	for range n {
		c := <-r.pieces
		err := c.moveTo(to)
		if err != nil {
			r.cancel()
		}
		if err := cmp.Or(err, c.close()); err != nil {
			return err
		}
	}
	return nil
}

// end ends it, early if not all pieces were fetched.
func (r *deflation) end() {
	r.cancel()
	for c := range r.pieces {
		_ = c.close() // somebody has an error already
	}
}

// threads is one for each processor, as far as memory allows: at the highest levels, each takes some
// 700 MiB.
func threads() int {
	const each = 1 << 30
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) != nil {
		return 1
	}
	return max(1, min(runtime.GOMAXPROCS(0), int(s.Totalram*uint64(s.Unit)/2/each)))
}

// zeroFrames are frames of n zeros, none larger than every decompressor takes.
func zeroFrames(n int64) (b []byte) {
	for ; n > 0; n -= frameSize {
		b = append(b, zeroFrame(uint32(min(n, frameSize)))...)
	}
	return b
}
