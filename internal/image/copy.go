package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/sandbox"
)

// Convert fills dst, an empty file, with the disk of an image file. Holes stay holes. progress gets
// bytes of the disk's size.
func Convert(ctx context.Context, path string, f Format, dst *os.File, progress func(done, total int64)) error {
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	if !f.plain() {
		err := copyMapped(ctx, f, src, dst, progress)
		if !errors.Is(err, errMapped) {
			return err
		}
		slog.Debug("read by qemu-img", "image", path, "because", err)
		return convertQEMU(ctx, path, f, dst, progress)
	}
	cloned := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil
	if err := dst.Truncate(f.Size); err != nil || cloned {
		return err
	}
	return copyData(ctx, dst, src, f.Size, progress)
}

// errMapped is an image whose tables do not say, for the code here, where all its data lies.
var errMapped = errors.New("only qemu-img can read it")

// copyMapped copies an image whose tables say where its data lies, which leaves the copying to the
// kernel.
func copyMapped(ctx context.Context, f Format, src, dst *os.File, progress func(done, total int64)) error {
	fi, err := src.Stat()
	if err != nil {
		return err
	}
	switch f.Name {
	case "vhdx":
		v, err := openVHDX(src, fi.Size())
		if err != nil {
			return err
		}
		return v.copyTo(ctx, dst, src, progress)
	case "qcow2":
		q, err := openQCOW2(src, fi.Size())
		if err != nil {
			return err
		}
		return q.copyTo(ctx, dst, src, progress)
	}
	return errMapped
}

var percent = regexp.MustCompile(`\(([0-9.]+)/100%\)`)

func convertQEMU(ctx context.Context, path string, f Format, dst *os.File, progress func(done, total int64)) error {
	c := qemuImg("convert", "-p", "-m", "16", "-W", "-t", "unsafe", "-O", "raw", f.QEMU(path), sandbox.Path(dst)).Reading(f.Files(path)...)
	c.OnLine = func(line string) {
		if m := percent.FindStringSubmatch(line); m != nil {
			p, _ := strconv.ParseFloat(m[1], 64)
			progress(int64(p/100*float64(f.Size)), f.Size)
		}
	}
	return c.Run(ctx)
}

const (
	chunk = 64 << 20 // bytes copied between two looks at the context
	block = 1 << 20  // bytes that are left out where all are zero
)

// copyData copies what holds data.
func copyData(ctx context.Context, dst, src *os.File, size int64, progress func(done, total int64)) error {
	err := EachData(ctx, src, size, block, func(at, n int64) error {
		if err := CopyRange(dst, src, at, at, n); err != nil {
			return fmt.Errorf("copy %s: %w", src.Name(), err)
		}
		progress(at+n, size)
		return nil
	})
	if err == nil {
		progress(size, size)
	}
	return err
}

// WriteBehind has the kernel begin to write a stretch of a file, up to its end where n is 0, so that there
// is less to wait for when the file is synced. Where the filesystem cannot, syncing takes longer.
func WriteBehind(f *os.File, at, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), at, n, unix.SYNC_FILE_RANGE_WRITE)
}

// extent finds the next stretch of data at or after an offset; start is size where there is none.
func extent(f *os.File, at, size int64) (start, end int64, err error) {
	start, err = f.Seek(at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO) || err == nil && start >= size:
		return size, size, nil
	case err != nil: // a filesystem that cannot tell has one extent
		return at, size, nil
	}
	end, err = f.Seek(start, unix.SEEK_HOLE)
	return start, min(end, size), err
}

// EachData calls f for every stretch of the first size bytes of a file that holds data, in order.
// Holes are left out, and so are blocks of zeros, of unit bytes, at most 1 MiB: downloading an image
// fills its holes.
func EachData(ctx context.Context, src *os.File, size, unit int64, f func(at, n int64) error) error {
	for at := int64(0); at < size; {
		start, end, err := extent(src, at, size)
		if err != nil {
			return fmt.Errorf("find data in %s: %w", src.Name(), err)
		}
		if err := eachBlock(ctx, src, start, end, unit, f); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// eachBlock is EachData between two offsets without holes. A stretch is at most a chunk and a block.
func eachBlock(ctx context.Context, src *os.File, start, end, unit int64, f func(at, n int64) error) error {
	found := func(until int64) error { // data, from start on
		if err := context.Cause(ctx); err != nil || start == until {
			return err
		}
		return f(start, until-start)
	}
	for at := start; at < end; {
		n := min(end-at, unit-at%unit)
		zero, err := isZero(src, at, n)
		if err != nil {
			return err
		}
		if zero || at-start >= chunk {
			if err := found(at); err != nil {
				return err
			}
			start = at
		}
		at += n
		if zero {
			start = at
		}
	}
	return found(end)
}

// copyBlocks copies size bytes from one offset to another, but for blocks of zeros.
func copyBlocks(ctx context.Context, dst, src *os.File, from, to, size int64) error {
	return eachBlock(ctx, src, from, from+size, block, func(at, n int64) error {
		return CopyRange(dst, src, at, to+at-from, n)
	})
}

var (
	zeros   [block]byte
	buffers = sync.Pool{New: func() any { return new([block]byte) }}
)

// isZero looks at the first page before it reads the rest, since blocks with data mostly begin with
// some.
func isZero(f *os.File, at, n int64) (bool, error) {
	whole := buffers.Get().(*[block]byte)
	defer buffers.Put(whole)
	buf := whole[:n]
	for from := int64(0); from < n; {
		to := min(n, max(4096, from*256))
		if _, err := f.ReadAt(buf[from:to], at+from); err != nil {
			return false, err
		}
		if !bytes.Equal(buf[from:to], zeros[from:to]) {
			return false, nil
		}
		from = to
	}
	return true, nil
}

// CopyRange copies n bytes from one place to another, in the kernel where it can.
func CopyRange(dst, src *os.File, from, to, n int64) error {
	for n > 0 {
		in, out := from, to
		m, err := unix.CopyFileRange(int(src.Fd()), &in, int(dst.Fd()), &out, int(n), 0)
		if err != nil || m == 0 { // another kind of filesystem
			_, err = io.CopyN(io.NewOffsetWriter(dst, to), io.NewSectionReader(src, from, n), n)
			return err
		}
		from, to, n = from+int64(m), to+int64(m), n-int64(m)
	}
	return nil
}
