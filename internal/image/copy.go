package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/sandbox"
)

// Convert fills dst, an empty file, with the disk of an image file. Holes stay holes. progress gets
// bytes of the disk's size.
func Convert(ctx context.Context, path string, f Format, dst *os.File, progress func(done, total int64)) error {
	if !f.plain() {
		return convertQEMU(ctx, path, f, dst, progress)
	}
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := dst.Truncate(f.Size); err != nil {
		return err
	}
	if f.Name == "raw" && unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil {
		return nil
	}
	return copyData(ctx, dst, src, f.Size, progress)
}

var percent = regexp.MustCompile(`\(([0-9.]+)/100%\)`)

func convertQEMU(ctx context.Context, path string, f Format, dst *os.File, progress func(done, total int64)) error {
	c := hostcmd.New("qemu-img", "convert", "-p", "-m", "16", "-W", "-t", "unsafe", "-O", "raw", f.QEMU(path), sandbox.Path(dst))
	c.Quiet = true
	c.OnLine = func(line string) {
		if m := percent.FindStringSubmatch(line); m != nil {
			p, _ := strconv.ParseFloat(m[1], 64)
			progress(int64(p/100*float64(f.Size)), f.Size)
		}
	}
	return c.Run(ctx)
}

// chunk is how much is copied between two looks at the context.
const chunk = 64 << 20

// copyData copies the extents of src that hold data.
func copyData(ctx context.Context, dst, src *os.File, size int64, progress func(done, total int64)) error {
	for at := int64(0); at < size; {
		start, end, err := extent(src, at, size)
		if err != nil {
			return fmt.Errorf("find data in %s: %w", src.Name(), err)
		}
		for start < end {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			n, err := copyRange(dst, src, start, min(end-start, chunk))
			if err != nil {
				return err
			}
			start += n
			progress(start, size)
		}
		at = end
	}
	progress(size, size)
	return nil
}

// extent finds the next stretch of data at or after an offset; start is size where there is none.
func extent(f *os.File, at, size int64) (start, end int64, err error) {
	start, err = unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case err != nil: // a filesystem that cannot tell has one extent
		return at, size, nil
	}
	end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
	return min(start, size), min(end, size), err
}

// copyRange copies up to n bytes at an offset, in the kernel where it can.
func copyRange(dst, src *os.File, at, n int64) (int64, error) {
	in, out := at, at
	m, err := unix.CopyFileRange(int(src.Fd()), &in, int(dst.Fd()), &out, int(n), 0)
	if err == nil && m > 0 {
		return int64(m), nil
	}
	copied, err := io.Copy(io.NewOffsetWriter(dst, at), io.NewSectionReader(src, at, n))
	if err == nil && copied == 0 {
		err = io.ErrUnexpectedEOF
	}
	return copied, err
}
