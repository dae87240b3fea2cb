package output

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// readSparse fills b from the file at that offset, reading data only: reading a hole costs as much as
// reading data. Where there is only a hole it says so and leaves b as it was.
func readSparse(f *os.File, b []byte, at int64) (found bool, err error) {
	end := at + int64(len(b))
	for pos := at; pos < end; {
		data, hole, err := nextData(f, pos, end)
		switch {
		case err != nil:
			return found, err
		case data == end && !found:
			return false, nil
		}
		found = true
		clear(b[pos-at : data-at])
		if _, err := f.ReadAt(b[data-at:hole-at], data); err != nil {
			return found, fmt.Errorf("cannot read at byte %d: %w", data, err)
		}
		pos = hole
	}
	return found, nil
}

// Source is a file with a disk in it.
type Source struct {
	*os.File
	// Where, if it is not nil, is the file that has the bytes from an offset on, at the same offset, up to
	// stop, which is at most end; nil where they are zeros. Reading there saves a copy.
	Where func(at, end int64) (f *os.File, stop int64)
}

func (s Source) where(at, end int64) (f *os.File, stop int64) {
	if s.Where == nil {
		return s.File, end
	}
	return s.Where(at, end)
}

// nextData is the first extent of data between two offsets; it is empty and at end where there is none.
func nextData(f *os.File, at, end int64) (data, hole int64, err error) {
	data, err = f.Seek(at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO) || err == nil && data >= end:
		return end, end, nil
	case errors.Is(err, unix.EINVAL): // the filesystem cannot tell
		return at, end, nil
	case err != nil:
		return 0, 0, err
	}
	hole, err = f.Seek(data, unix.SEEK_HOLE)
	return data, min(hole, end), err
}
