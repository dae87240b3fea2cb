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
	err = EachData(ctx, src, f.Size, block, func(_, size int64) error {
		n += size
		return nil
	})
	return n, err
}
