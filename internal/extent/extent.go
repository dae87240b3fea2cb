// Package extent works on the extents of sparse files: it finds what holds data, leaves zeros out and has the
// kernel copy the rest.
package extent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// Chunk is how much is copied between two looks at the context.
	Chunk = 64 << 20
	// Block is the largest unit in which zeros are looked for.
	Block = 1 << 20
)

// Next is the first extent of data between two offsets of a file; it is empty and at end where there is none.
func Next(fd int, at, end int64) (start, stop int64, err error) {
	start, err = unix.Seek(fd, at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO) || err == nil && start >= end:
		return end, end, nil
	case errors.Is(err, unix.EINVAL): // the filesystem cannot tell
		return at, end, nil
	case err != nil:
		return 0, 0, err
	}
	stop, err = unix.Seek(fd, start, unix.SEEK_HOLE)
	return start, min(stop, end), err
}

// IsHole tells whether a file has only a hole there.
func IsHole(fd int, at, n int64) bool {
	start, _, err := Next(fd, at, at+n)
	return err == nil && start == at+n
}

// Each calls f for every extent of the first size bytes of a file that holds data, in order. Holes are left out,
// and so are blocks of zeros, of unit bytes, at most Block: downloading an image fills its holes.
func Each(ctx context.Context, src *os.File, size, unit int64, f func(at, n int64) error) error {
	for at := int64(0); at < size; {
		start, stop, err := Next(int(src.Fd()), at, size)
		if err != nil {
			return fmt.Errorf("find data in %s: %w", src.Name(), err)
		}
		if err := eachBlock(ctx, src, start, stop, unit, f); err != nil {
			return err
		}
		at = stop
	}
	return nil
}

// eachBlock is Each between two offsets without holes. An extent is at most a chunk and a block.
func eachBlock(ctx context.Context, src *os.File, start, end, unit int64, f func(at, n int64) error) error {
	found := func(until int64) error { // data, from start on
		if err := context.Cause(ctx); err != nil || start == until {
			return err
		}
		return f(start, until-start)
	}
	for at := start; at < end; {
		n := min(end-at, unit-at%unit)
		zero, err := zeroAt(src, at, n)
		if err != nil {
			return err
		}
		if zero || at-start >= Chunk {
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

// CopyAll copies the data of the first size bytes of a file to the same places of another. progress gets bytes
// of size.
func CopyAll(ctx context.Context, dst, src *os.File, size int64, progress func(done, total int64)) error {
	err := Each(ctx, src, size, Block, func(at, n int64) error {
		if err := Copy(dst, src, at, at, n); err != nil {
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

// CopySparse copies n bytes from one offset to another, but for holes.
func CopySparse(dst, src *os.File, from, to, n int64) error {
	for at, end := from, from+n; at < end; {
		start, stop, err := Next(int(src.Fd()), at, end)
		if err == nil && start < stop {
			err = Copy(dst, src, start, start+to-from, stop-start)
		}
		if err != nil {
			return err
		}
		at = stop
	}
	return nil
}

// CopyData copies n bytes from one offset to another, but for blocks of zeros.
func CopyData(ctx context.Context, dst, src *os.File, from, to, n int64) error {
	return eachBlock(ctx, src, from, from+n, Block, func(at, n int64) error {
		return Copy(dst, src, at, to+at-from, n)
	})
}

// Copy copies n bytes from one offset to another, in the kernel where it can.
func Copy(dst, src *os.File, from, to, n int64) error {
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

// WriteBehind has the kernel begin to write an extent of a file, up to its end where n is 0, so that there
// is less to wait for when the file is synced. Where the filesystem cannot, syncing takes longer.
func WriteBehind(f *os.File, at, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), at, n, unix.SYNC_FILE_RANGE_WRITE)
}

// Read fills b from the file at that offset, reading data only: reading a hole costs as much as reading data.
// Where there is only a hole it says so and leaves b as it was.
func Read(f *os.File, b []byte, at int64) (found bool, err error) {
	end := at + int64(len(b))
	for pos := at; pos < end; {
		start, stop, err := Next(int(f.Fd()), pos, end)
		switch {
		case err != nil:
			return found, err
		case start == end && !found:
			return false, nil
		}
		found = true
		clear(b[pos-at : start-at])
		if _, err := f.ReadAt(b[start-at:stop-at], start); err != nil {
			return found, fmt.Errorf("cannot read at byte %d: %w", start, err)
		}
		pos = stop
	}
	return found, nil
}

// AllZero tells whether all bytes are zero: it compares every byte with the one before it.
func AllZero(b []byte) bool { return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }

var buffers = sync.Pool{New: func() any { return new([Block]byte) }}

// zeroAt looks at the first page before it reads the rest, since blocks with data mostly begin with
// some.
func zeroAt(f *os.File, at, n int64) (bool, error) {
	whole := buffers.Get().(*[Block]byte)
	defer buffers.Put(whole)
	buf := whole[:n]
	for from := int64(0); from < n; {
		to := min(n, max(4096, from*256))
		if _, err := f.ReadAt(buf[from:to], at+from); err != nil {
			return false, err
		}
		if !AllZero(buf[from:to]) {
			return false, nil
		}
		from = to
	}
	return true, nil
}
