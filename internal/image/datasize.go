package image

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// DataSize is how many bytes the file of an image occupies: about what its disk holds, or less where
// it is compressed, or more where it is full of zeros.
func DataSize(path string, f Format) (int64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, err
	}
	return min(st.Blocks*512, f.Size), nil
}

// CountData is how many bytes Convert will write for an image. It reads the file where it can contain
// blocks of zeros, which are left out; for other formats it is DataSize.
func CountData(ctx context.Context, path string, f Format) (n int64, err error) {
	if !f.plain() {
		return DataSize(path, f)
	}
	src, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer src.Close()
	for at := int64(0); at < f.Size; {
		start, end, err := extent(src, at, f.Size)
		if err != nil {
			return 0, err
		}
		for ; start < end; start += block {
			if err := context.Cause(ctx); err != nil {
				return 0, err
			}
			size := min(block, end-start)
			zero, err := isZero(src, start, size)
			if err != nil {
				return 0, err
			}
			if !zero {
				n += size
			}
		}
		at = end
	}
	return n, nil
}
