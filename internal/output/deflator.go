package output

import (
	"cmp"
	"context"
	"runtime"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/extent"
)

// leastHole is the least hole that is worth a frame of its own; smaller ones are compressed as zeros.
const leastHole = mib

// deflator says how an extent of a disk becomes zstd frames.
type deflator struct {
	level int
	long  bool // look for matches as far back as a frame goes
}

// write compresses a range of a file to a place in another. progress gets the bytes of it that are done.
func (d deflator) write(ctx context.Context, f extent.View, at, size int64, to *sink, progress func(done int64)) error {
	list, err := extent.List(f.File, at, size, leastHole)
	if err != nil {
		return err
	}
	run := d.begin(ctx, f, list, progress)
	defer run.end()
	return run.next(len(list), to)
}

// deflation is the compression of extents, one after the other.
type deflation struct {
	extents <-chan *deflating
	cancel  context.CancelFunc
}

// begin begins to compress extents of a file. The caller fetches all with next, and calls end when f may be
// closed. progress gets how many bytes have been read.
func (d deflator) begin(ctx context.Context, f extent.View, list []extent.Extent, progress func(done int64)) *deflation {
	ctx, cancel := context.WithCancel(ctx)
	return &deflation{d.start(ctx, f, list, progress), cancel}
}

// next writes the frames of the next n extents.
func (r *deflation) next(n int, to *sink) error {
	for range n {
		c := <-r.extents
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

// end ends it, early if not all extents were fetched.
func (r *deflation) end() {
	r.cancel()
	for c := range r.extents {
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
