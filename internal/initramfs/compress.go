package initramfs

import (
	"bytes"
	"context"
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

func decompress(ctx context.Context, m *machine.Machine, data []byte) ([]byte, error) {
	format, err := detect(data)
	if err != nil {
		return nil, err
	}
	switch format {
	case plain:
		return data, nil
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	case "zstd":
		r, err := zstd.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	return filter(ctx, m, programs[format].unpack, data)
}

// gzipLevel is gzip's own default: level 9 takes six times as long for half a percent.
const gzipLevel = 6

func compress(ctx context.Context, m *machine.Machine, data []byte, format string) ([]byte, error) {
	var out bytes.Buffer
	switch format {
	case plain:
		return data, nil
	case "gzip":
		w, err := pgzip.NewWriterLevel(&out, gzipLevel)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
		err = w.Close()
		return out.Bytes(), err
	case "zstd":
		w, err := zstd.NewWriter(&out)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
		err = w.Close()
		return out.Bytes(), err
	}
	return filter(ctx, m, programs[format].pack, data)
}

// filter runs a program of the image over data.
func filter(ctx context.Context, m *machine.Machine, argv []string, data []byte) ([]byte, error) {
	if argv == nil {
		return nil, fmt.Errorf("unknown compression format")
	}
	c := hostcmd.New(argv[0], argv[1:]...)
	c.Stdin, c.Quiet = bytes.NewReader(data), true
	out, err := m.Output(ctx, c)
	return []byte(out), err
}
