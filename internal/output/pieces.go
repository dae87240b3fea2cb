package output

import (
	"bytes"
	"context"
	"io"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

// pieceSize is how many bytes become one zstd frame where the zstd program compresses. Frames of
// 128 MiB, compressed side by side by programs of one thread each, are 1.5 % larger than one frame
// that as many threads make with --long, and take less than half of its time: looking for matches
// far back is work for one thread. A window never exceeds what it is a window of, so these frames
// need no more memory of a reader than 128 MiB.
const pieceSize = 128 * mib

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
		for ; pos < hole; pos += pieceSize {
			list = append(list, piece{pos, min(pieceSize, hole-pos), false})
		}
		pos = max(hole, data)
	}
	return list, nil
}

// write compresses a stretch of a file to w. progress gets the bytes of it that are done.
func (d deflator) write(ctx context.Context, f *os.File, at, size int64, w io.Writer, progress func(done int64)) error {
	list, err := pieces(f, at, size)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for next := range d.frames(ctx, f, list) {
		r := <-next
		if r.err != nil {
			return r.err
		}
		if _, err := w.Write(r.data); err != nil {
			return err
		}
		progress(r.end - at)
	}
	return context.Cause(ctx)
}

// deflated is what a piece became.
type deflated struct {
	data []byte
	end  int64
	err  error
}

// frames yields the pieces' frames in their order while later ones are being made.
func (d deflator) frames(ctx context.Context, f *os.File, list []piece) <-chan chan deflated {
	queue := make(chan chan deflated, parallelPieces())
	running := make(chan struct{}, parallelPieces())
	go func() {
		defer close(queue)
		for _, p := range list {
			one := make(chan deflated, 1)
			select {
			case queue <- one:
			case <-ctx.Done():
				return
			}
			running <- struct{}{}
			go func() {
				defer func() { <-running }()
				data, err := d.frame(ctx, f, p)
				one <- deflated{data, p.at + p.size, err}
			}()
		}
	}()
	return queue
}

// parallelPieces is one for each processor, as far as memory allows: with its frame, a program takes
// some 700 MiB at the highest levels.
func parallelPieces() int {
	const each = 1 << 30
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) != nil {
		return 1
	}
	return max(1, min(runtime.GOMAXPROCS(0), int(s.Totalram*uint64(s.Unit)/2/each)))
}

// frame compresses one piece. The stream's size, which the program cannot see, keeps the window, and
// what the frame asks of its readers, from being larger than the piece.
func (d deflator) frame(ctx context.Context, f *os.File, p piece) ([]byte, error) {
	if p.hole {
		return zeroFrames(p.size), nil
	}
	args := []string{"-q", "-c", "-T1", "-" + strconv.Itoa(d.level), "--stream-size=" + strconv.FormatInt(p.size, 10)}
	if d.level > 19 {
		args = append(args, "--ultra")
	}
	if d.long {
		args = append(args, "--long=27")
	}
	var out bytes.Buffer
	c := hostcmd.New("zstd", args...)
	c.Quiet, c.Stdin, c.Stdout = true, io.NewSectionReader(f, p.at, p.size), &out
	err := c.Run(ctx)
	return out.Bytes(), err
}

// zeroFrames are frames of n zeros, none larger than every decompressor takes.
func zeroFrames(n int64) (b []byte) {
	for ; n > 0; n -= frameSize {
		b = append(b, zeroFrame(uint32(min(n, frameSize)))...)
	}
	return b
}
