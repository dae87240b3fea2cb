package fault

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// BaseImage is a base image as it was before the runs.
type BaseImage struct {
	path string
	stat unix.Stat_t
	sum  []byte
}

// Identify looks at a base image.
func Identify(path string) (*BaseImage, error) {
	b := &BaseImage{path: path}
	if err := unix.Stat(path, &b.stat); err != nil {
		return nil, err
	}
	var err error
	b.sum, err = digest(path)
	return b, err
}

// Unchanged compares the times, which the kernel changes with every write, the size and the owner.
func (b *BaseImage) Unchanged() error {
	var now unix.Stat_t
	if err := unix.Stat(b.path, &now); err != nil {
		return err
	}
	if now.Atim = b.stat.Atim; now != b.stat {
		return fmt.Errorf("the base image was changed: %+v, before %+v", now, b.stat)
	}
	return nil
}

// Same compares every byte, too.
func (b *BaseImage) Same() error {
	sum, err := digest(b.path)
	if err == nil && !bytes.Equal(sum, b.sum) {
		err = errors.New("bytes of the base image were changed")
	}
	return errors.Join(err, b.Unchanged())
}

// digest hashes what the file says, not how it is stored: a filesystem may still be deciding which
// zeros of a fresh file are holes. Zeros are left out, and the places of the rest go in.
func digest(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	block, zeros := make([]byte, 1<<20), make([]byte, 1<<20)
	for at := int64(0); ; {
		start, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return h.Sum(nil), nil
		}
		if err != nil {
			return nil, err
		}
		at = start - start%int64(len(block))
		n, err := f.ReadAt(block, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if !bytes.Equal(block[:n], zeros[:n]) {
			fmt.Fprintf(h, "%d:", at)
			h.Write(block[:n])
		}
		at += int64(n)
	}
}
