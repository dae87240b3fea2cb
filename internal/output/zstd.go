package output

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// frameSize is how many bytes of the disk become one zstd frame. Frames are compressed in parallel
// and stand one after the other, which every decompressor reads as one stream; 8 MiB is also the
// largest window that decompressors take without being asked.
const frameSize = 8 * mib

// frame is a compressed piece of the disk, or the error of making it.
type frame struct {
	data []byte
	err  error
}

// writeZstd compresses with all cores. Holes are not read: they repeat one frame of zeros, the very
// bytes that zeros that were read would give, so the result does not depend on where the holes are.
func writeZstd(ctx context.Context, disk string, size int64, out string, progress func(done, total int64)) (err error) {
	in, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer in.Close()
	file, err := os.OpenFile(out, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := newCompressor(in, size)
	if err != nil {
		return err
	}
	var done int64
	for next := range c.frames(ctx) {
		f := <-next
		if f.err == nil {
			f.err = context.Cause(ctx)
		}
		if f.err == nil {
			_, f.err = file.Write(f.data)
		}
		if f.err != nil {
			return f.err
		}
		done = min(done+frameSize, size)
		progress(done, size)
	}
	if done != size {
		return context.Cause(ctx)
	}
	return nil
}

// compressor turns a disk into frames.
type compressor struct {
	in      *os.File
	size    int64
	encoder *zstd.Encoder
	zeros   []byte // compressed frame of frameSize zeros
	buffers sync.Pool
}

func newCompressor(in *os.File, size int64) (*compressor, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithWindowSize(frameSize))
	if err != nil {
		return nil, err
	}
	c := &compressor{in: in, size: size, encoder: e}
	c.buffers.New = func() any { return new([frameSize]byte) }
	c.zeros = e.EncodeAll(make([]byte, frameSize), nil)
	return c, nil
}

// frames yields the frames in the disk's order while later ones are being made. It ends early when
// ctx does.
func (c *compressor) frames(ctx context.Context) <-chan chan frame {
	queue := make(chan chan frame, runtime.GOMAXPROCS(0))
	go func() {
		defer close(queue)
		var data int64 // start of the first data at or after at
		for at := int64(0); at < c.size; at += frameSize {
			var err error
			if data < at || at == 0 {
				data, err = nextData(c.in, at, c.size)
			}
			one, hole := make(chan frame, 1), data >= at+frameSize
			select {
			case queue <- one:
			case <-ctx.Done():
				return
			}
			go func() { one <- c.frame(at, hole, err) }()
		}
	}()
	return queue
}

func (c *compressor) frame(at int64, hole bool, err error) frame {
	if err != nil {
		return frame{err: err}
	}
	n := min(frameSize, c.size-at)
	if hole && n == frameSize {
		return frame{data: c.zeros}
	}
	buffer := c.buffers.Get().(*[frameSize]byte)
	defer c.buffers.Put(buffer)
	if _, err := c.in.ReadAt(buffer[:n], at); err != nil {
		return frame{err: fmt.Errorf("cannot read the disk at byte %d: %w", at, err)}
	}
	return frame{data: c.encoder.EncodeAll(buffer[:n], nil)}
}

// nextData is where the first data at or after the offset begins, or end where only a hole is left.
func nextData(f *os.File, at, end int64) (int64, error) {
	data, err := f.Seek(at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return end, nil
	case errors.Is(err, unix.EINVAL): // the filesystem cannot tell
		return at, nil
	}
	return data, err
}
