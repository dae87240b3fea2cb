package output

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// frameSize is how many bytes of the disk become one zstd frame. Frames are compressed in parallel
// and stand one after the other, which every decompressor reads as one stream; 8 MiB is also the
// largest window that decompressors take without being asked (RFC 8878, 3.1.1.1.2).
const frameSize = 8 * mib

// frame is a compressed piece of the disk, or the error of making it.
type frame struct {
	data []byte
	err  error
}

// writeZstd compresses with all cores. Zeros, in a hole or written, become the same few bytes, so
// the result does not depend on where the holes are.
func writeZstd(ctx context.Context, disk string, size int64, out string, progress func(done, total int64)) (err error) {
	in, err := openDisk(disk, size)
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
	return context.Cause(ctx)
}

// compressor turns a disk into frames.
type compressor struct {
	in      *os.File
	size    int64
	encoder *zstd.Encoder
	zeros   []byte // frameSize zeros, compressed
	buffers sync.Pool
}

func newCompressor(in *os.File, size int64) (*compressor, error) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithWindowSize(frameSize))
	if err != nil {
		return nil, err
	}
	c := &compressor{in: in, size: size, encoder: e, zeros: zeroFrame(frameSize)}
	c.buffers.New = func() any { return new([frameSize]byte) }
	return c, nil
}

// frames yields the frames in the disk's order while later ones are being made. It ends early when
// ctx does.
func (c *compressor) frames(ctx context.Context) <-chan chan frame {
	queue := make(chan chan frame, runtime.GOMAXPROCS(0))
	go func() {
		defer close(queue)
		for at := int64(0); at < c.size; at += frameSize {
			one := make(chan frame, 1)
			select {
			case queue <- one:
			case <-ctx.Done():
				return
			}
			go func() { one <- c.frame(at) }()
		}
	}()
	return queue
}

func (c *compressor) frame(at int64) frame {
	whole := c.buffers.Get().(*[frameSize]byte)
	defer c.buffers.Put(whole)
	b := whole[:min(frameSize, c.size-at)]
	found, err := readSparse(c.in, b, at)
	switch {
	case err != nil:
		return frame{err: err}
	case len(b) == frameSize && (!found || isZero(b)):
		return frame{data: c.zeros}
	}
	return frame{data: c.encoder.EncodeAll(b, nil)}
}

// isZero compares every byte with the one before it.
func isZero(b []byte) bool { return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }

// zeroFrame is a zstd frame of n zeros in 4 bytes for each 128 KiB, as few as the format allows
// (RFC 8878, 3.1.1): a header with the content's size and no checksum, then run-length blocks.
func zeroFrame(n uint32) []byte {
	const (
		singleSegment, fourByteSize = 1 << 5, 2 << 6
		maxBlock                    = 128 << 10
		last, runLength             = 1, 1 << 1
	)
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, singleSegment | fourByteSize}
	b = binary.LittleEndian.AppendUint32(b, n)
	for n > 0 {
		size := min(n, maxBlock)
		n -= size
		header := size<<3 | runLength
		if n == 0 {
			header |= last
		}
		b = append(b, byte(header), byte(header>>8), byte(header>>16), 0)
	}
	return b
}
