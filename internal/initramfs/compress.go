package initramfs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
)

// programs compress and decompress what has no library here. They are the image's own, which names
// the format and so has its program. The kernel reads xz with CRC32 and lz4 in its legacy format only.
var programs = map[string]struct{ pack, unpack []string }{
	"xz":    {[]string{"xz", "--check=crc32", "--lzma2=dict=1MiB", "-T0", "-c"}, []string{"xz", "-d", "-c"}},
	"lz4":   {[]string{"lz4", "-l", "-c"}, []string{"lz4", "-d", "-c"}},
	"lzma":  {[]string{"xz", "--format=lzma", "-T0", "-c"}, []string{"xz", "--format=lzma", "-d", "-c"}},
	"bzip2": {[]string{"bzip2", "-c"}, []string{"bzip2", "-d", "-c"}},
	"lzop":  {[]string{"lzop", "-c"}, []string{"lzop", "-d", "-c"}},
}

// decompress reads src in a format and writes what was packed to dst.
func decompress(ctx context.Context, m *machine.Machine, format string, dst io.Writer, src io.Reader) error {
	switch format {
	case plain:
		_, err := io.Copy(dst, src)
		return err
	case "gzip":
		r, err := gzip.NewReader(src)
		if err != nil {
			return err
		}
		_, err = io.Copy(dst, r)
		return err
	case "zstd":
		r, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(dst, r)
		return err
	}
	return filter(ctx, m, programs[format].unpack, dst, src)
}

// gzipLevel is gzip's own default: level 9 takes six times as long for half a percent.
const gzipLevel = 6

// zstdWindow is how far back, in bytes, what is packed refers. The library's own 8 MiB take several times that
// in memory.
const zstdWindow = 2 << 20

// compress packs src in a format into dst, on all processors where the format can.
func compress(ctx context.Context, m *machine.Machine, format string, dst io.Writer, src io.Reader) error {
	switch format {
	case plain:
		_, err := io.Copy(dst, src)
		return err
	case "gzip":
		w, err := pgzip.NewWriterLevel(dst, gzipLevel)
		if err != nil {
			return err
		}
		return copyAndClose(w, src)
	case "zstd":
		w, err := zstd.NewWriter(dst, zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return err
		}
		return copyAndClose(w, src)
	}
	return filter(ctx, m, programs[format].pack, dst, src)
}

func copyAndClose(w io.WriteCloser, src io.Reader) error {
	_, err := io.Copy(w, src)
	return errors.Join(err, w.Close())
}

// filter runs a program of the image over src.
func filter(ctx context.Context, m *machine.Machine, argv []string, dst io.Writer, src io.Reader) error {
	if argv == nil {
		return fmt.Errorf("unknown compression format")
	}
	c := hostcmd.New(argv[0], argv[1:]...)
	c.Stdin, c.Stdout, c.Quiet = src, dst, true
	return m.Run(ctx, c)
}
