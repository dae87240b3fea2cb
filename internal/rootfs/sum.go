package rootfs

import (
	"crypto/sha256"
	"io"
	"os"
)

// SHA256 is that of a whole file, wherever the file is read at the moment.
func SHA256(f *os.File) (sum [32]byte, err error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<62)); err != nil {
		return sum, err
	}
	return [32]byte(h.Sum(nil)), nil
}
