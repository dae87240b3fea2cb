package output

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/extent"
	"imagecustomizer/internal/hostcmd"
)

const (
	lastQuickLevel = 12 // higher ones find more in larger jobs
	usualLevel     = 9  // of a COSI and of split partitions
)

// jobs says how the zstd program divides an extent among its threads, where matches far back are found
// beforehand. Its own choice at high levels, up to 512 MiB, leaves threads idle. What a quick job finds in the
// end of the one before (overlap) costs more time than it saves bytes. The usual level's hash table is halved,
// to level 8's, which stays in the cache of a processor: the larger jobs make up for what it finds less.
func (d deflator) jobs() []string {
	switch {
	case d.level > lastQuickLevel:
		return []string{"-B" + strconv.Itoa(64*mib)}
	case d.level == usualLevel:
		return []string{"-B" + strconv.Itoa(16*mib), "--zstd=overlapLog=1,hashLog=20"}
	}
	return []string{"-B" + strconv.Itoa(16*mib), "--zstd=overlapLog=1"}
}

// largePages has glibc keep the program's tables, which it looks up all over, in large pages of memory, and
// what it frees for the next job. Other C libraries know no such variable.
const largePages = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296"

// pipeSize is how much of an extent waits for the program; a pipe's usual size is 64 KiB.
const pipeSize = mib

// deflating is an extent on its way through the zstd program.
type deflating struct {
	extent.Extent
	out *os.File   // where its frame comes from; nil for a hole
	end chan error // how the program ended
	fed chan error // how reading the extent for it ended; nil for a hole
}

// start yields the extents in their order. The next one is begun when the program of the one before has
// read all of its own, so that no thread is idle meanwhile. When the channel is closed, f is no longer read.
func (d deflator) start(ctx context.Context, f extent.View, list []extent.Extent, progress func(done int64)) <-chan *deflating {
	queue := make(chan *deflating)
	go func() {
		defer close(queue)
		before := int64(0)
		for _, p := range list {
			if ctx.Err() != nil {
				queue <- &deflating{Extent: p, end: failed(context.Cause(ctx))}
				return
			}
			d.startOne(ctx, f, p, queue, func(done int64) { progress(before + done) })
			before += p.Size
			progress(before)
		}
	}()
	return queue
}

func failed(err error) chan error {
	end := make(chan error, 1)
	end <- err
	return end
}

func (d deflator) startOne(ctx context.Context, f extent.View, p extent.Extent, queue chan<- *deflating, progress func(done int64)) {
	if p.Hole {
		queue <- &deflating{Extent: p, end: failed(nil)}
		return
	}
	c, to, err := d.run(ctx, p)
	if err != nil {
		queue <- &deflating{Extent: p, end: failed(err)}
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { queue <- c })
	c.fed <- feed(to, f, p, progress)
	wg.Wait()
}

// run starts the program for an extent, which is to be written to the file returned.
func (d deflator) run(ctx context.Context, p extent.Extent) (*deflating, *os.File, error) {
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
	c := &deflating{Extent: p, out: from, end: make(chan error, 1), fed: make(chan error, 1)}
	zstd := hostcmd.New("zstd", d.arguments(p.Size)...)
	zstd.Quiet, zstd.Stdin, zstd.Stdout, zstd.Env = true, in, out, append(zstd.Environment(), largePages)
	go func() {
		err := zstd.Run(ctx)
		in.Close() // who still feeds or drains it learns that it has ended
		out.Close()
		c.end <- err
	}()
	return c, to, nil
}

// arguments are the program's. The stream's size, which it cannot see, keeps the window, and what the
// frame asks of its readers, from being larger than the extent.
func (d deflator) arguments(size int64) []string {
	args := []string{"-q", "-c", "-T" + strconv.Itoa(threads()), "-" + strconv.Itoa(d.level), "--stream-size=" + strconv.FormatInt(size, 10)}
	if d.level > 19 {
		args = append(args, "--ultra")
	}
	if d.long {
		args = append(append(args, "--long=27"), d.jobs()...)
	}
	return args
}

// feed moves an extent into the program's pipe, without copying its bytes where the kernel can do that, and
// closes it. The program does not mind that it gets less than it was told to expect.
func feed(to *os.File, f extent.View, p extent.Extent, progress func(done int64)) error {
	defer to.Close()
	for pos, end := p.At, p.At+p.Size; pos < end; progress(pos - p.At) {
		from, stop := f.In(pos, min(end, pos+pipeSize))
		n, err := feedFrom(from, to, pos, stop-pos)
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("read the disk at byte %d: %w", pos, err)
		}
		pos += n
	}
	return nil
}

// feedFrom moves some bytes of a file, or zeros, into a pipe.
func feedFrom(f, to *os.File, at, n int64) (moved int64, err error) {
	if f == nil {
		zeros, err := to.Write(make([]byte, n))
		return int64(zeros), err
	}
	moved, err = spliceInto(to, f, at, n)
	if errors.Is(err, unix.EINVAL) {
		return io.Copy(to, io.NewSectionReader(f, at, n))
	}
	return moved, err
}

// moveTo writes the extent's frame to its place.
func (c *deflating) moveTo(to *sink) error {
	switch {
	case c.Hole:
		_, err := to.Write(diskformat.ZeroFrames(c.Size))
		return err
	case c.out != nil:
		return to.take(c.out)
	}
	return nil
}

// close waits for the program, which ends early where not all of its output was read, and what fed it.
func (c *deflating) close() error {
	if c.out == nil {
		return <-c.end
	}
	c.out.Close()
	err := <-c.end
	if fed := <-c.fed; fed != nil && !errors.Is(fed, unix.EPIPE) { // else the program ended first
		return fed
	}
	return err
}
