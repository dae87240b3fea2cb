package diskformat

import (
	"context"
	"encoding/binary"
	"os"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"

	"imagecustomizer/internal/extent"
)

var rawZstd = Format{
	Name: "raw.zst", Aliases: []string{"raw-zst"}, Extensions: []string{".raw.zst", ".img.zst"},
	About: "plain bytes of the disk, zstd compressed", compressed: true, pack: writeZstd, check: checkMagic(zstdMagic),
}

const zstdMagic = "\x28\xb5\x2f\xfd"

// frameSize is how many bytes of the disk become one zstd frame. Frames are compressed in parallel
// and stand one after the other, which every decompressor reads as one stream; 8 MiB is also the
// largest window that decompressors take without being asked (RFC 8878, 3.1.1.1.2).
const frameSize = 8 * mib

// frame is a compressed part of the disk, or the error of making it.
type frame struct {
	data []byte
	err  error
}

// writeZstd compresses with all cores. Zeros, in a hole or written, become the same few bytes, so
// the result does not depend on where the holes are.
func writeZstd(ctx context.Context, _ Identity, disk *os.File, size int64, out *os.File, progress func(done, total int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := newCompressor(disk, size)
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
			_, f.err = out.Write(f.data)
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
	found, err := extent.Read(c.in, b, at)
	switch {
	case err != nil:
		return frame{err: err}
	case len(b) == frameSize && (!found || extent.AllZero(b)):
		return frame{data: c.zeros}
	}
	return frame{data: c.encoder.EncodeAll(b, nil)}
}

// ZeroFrames are zstd frames of n zeros, none larger than every decompressor takes.
func ZeroFrames(n int64) (b []byte) {
	for ; n > 0; n -= frameSize {
		b = append(b, zeroFrame(uint32(min(n, frameSize)))...)
	}
	return b
}

// zeroFrame is a zstd frame of n zeros in 4 bytes for each 128 KiB, as few as the format allows
// (RFC 8878, 3.1.1): a header with the content's size and no checksum, then run-length blocks.
func zeroFrame(n uint32) []byte {
	const (
		singleSegment, fourByteSize = 1 << 5, 2 << 6
		maxBlock                    = 128 << 10
		last, runLength             = 1, 1 << 1
	)
	b := append([]byte(zstdMagic), singleSegment|fourByteSize)
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
