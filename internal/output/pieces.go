package output

import (
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
	ctx, cancel := context.WithCancel(ctx)
	started := d.start(ctx, f, list, func(pos int64) { progress(pos - at) })
	for c := range started {
		if err == nil {
			err = c.moveTo(to)
		}
		if err != nil {
			cancel()
		}
		if end := c.close(); err == nil {
			err = end
		}
	}
	cancel()
	return err
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
