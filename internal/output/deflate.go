package output

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
)

// jobSize is how much of a piece one thread of the zstd program compresses at a time, where matches far
// back are found beforehand. The program's own choice, up to 512 MiB, leaves threads idle; the high levels
// find more in larger jobs.
func (d deflator) jobSize() int {
	if d.level <= 12 {
		return 16 * mib
	}
	return 64 * mib
}

// pipeSize is how much of a piece waits for the program; a pipe's usual size is 64 KiB.
const pipeSize = mib

// deflating is a piece on its way through the zstd program.
type deflating struct {
	piece
	out *os.File   // where its frame comes from; nil for a hole
	end chan error // how the program ended
}

// start yields the pieces in their order. The next one is begun when the program of the one before has
// read all of its own, so that no thread is idle meanwhile. When the channel is closed, f is no longer read.
func (d deflator) start(ctx context.Context, f *os.File, list []piece, progress func(pos int64)) <-chan *deflating {
	queue := make(chan *deflating)
	go func() {
		defer close(queue)
		for _, p := range list {
			if ctx.Err() != nil {
				queue <- &deflating{piece: p, end: failed(context.Cause(ctx))}
				return
			}
			d.startOne(ctx, f, p, queue, progress)
			progress(p.at + p.size)
		}
	}()
	return queue
}

func failed(err error) chan error {
	end := make(chan error, 1)
	end <- err
	return end
}

func (d deflator) startOne(ctx context.Context, f *os.File, p piece, queue chan<- *deflating, progress func(pos int64)) {
	if p.hole {
		queue <- &deflating{piece: p, end: failed(nil)}
		return
	}
	c, to, err := d.run(ctx, p)
	if err != nil {
		queue <- &deflating{piece: p, end: failed(err)}
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { queue <- c })
	feed(to, f, p, progress)
	wg.Wait()
}

// run starts the program for a piece, which is to be written to the file returned.
func (d deflator) run(ctx context.Context, p piece) (*deflating, *os.File, error) {
	in, to, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	from, out, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(err, in.Close(), to.Close())
	}
	for _, pipe := range []*os.File{to, from} { // an unprivileged user may have too many large ones
		_, _ = unix.FcntlInt(pipe.Fd(), unix.F_SETPIPE_SZ, pipeSize)
	}
	c := &deflating{piece: p, out: from, end: make(chan error, 1)}
	zstd := hostcmd.New("zstd", d.arguments(p.size)...)
	zstd.Quiet, zstd.Stdin, zstd.Stdout = true, in, out
	go func() {
		err := zstd.Run(ctx)
		in.Close() // who still feeds or drains it learns that it has ended
		out.Close()
		c.end <- err
	}()
	return c, to, nil
}

// arguments are the program's. The stream's size, which it cannot see, keeps the window, and what the
// frame asks of its readers, from being larger than the piece.
func (d deflator) arguments(size int64) []string {
	args := []string{"-q", "-c", "-T" + strconv.Itoa(threads()), "-" + strconv.Itoa(d.level), "--stream-size=" + strconv.FormatInt(size, 10)}
	if d.level > 19 {
		args = append(args, "--ultra")
	}
	if d.long {
		args = append(args, "--long=27", "-B"+strconv.Itoa(d.jobSize()))
	}
	return args
}

// feed moves a piece into the program's pipe, without copying its bytes where the kernel can do that, and
// closes it. Where it fails the program sees less than it was told to expect, and fails.
func feed(to, f *os.File, p piece, progress func(pos int64)) {
	defer to.Close()
	for pos, end := p.at, p.at+p.size; pos < end; progress(pos) {
		n, err := spliceInto(to, f, pos, min(pipeSize, end-pos))
		if errors.Is(err, unix.EINVAL) {
			n, err = io.Copy(to, io.NewSectionReader(f, pos, min(pipeSize, end-pos)))
		}
		if err != nil || n == 0 {
			return
		}
		pos += n
	}
}

// moveTo writes the piece's frame to its place.
func (c *deflating) moveTo(to *region) error {
	switch {
	case c.hole:
		_, err := to.Write(zeroFrames(c.size))
		return err
	case c.out != nil:
		return to.take(c.out)
	}
	return nil
}

// close waits for the program, which ends early where not all of its output was read.
func (c *deflating) close() error {
	if c.out != nil {
		c.out.Close()
	}
	return <-c.end
}
