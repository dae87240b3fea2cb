package diskformat

import (
	"errors"
	"fmt"
	"io"

	"imagecustomizer/internal/disk"
)

var raw = Format{
	Name: "raw", Extensions: []string{".raw", ".img"}, About: "plain bytes of the disk, sparse",
	driver: "raw", probe: probeRaw, plain: true, inPlace: always, check: checkRaw,
}

// probeRaw looks at what no other format claims.
func probeRaw(f candidate) (Image, error) {
	if err := hasLostFooter(f); err != nil {
		return Image{}, err
	}
	if f.size%512 != 0 {
		return Image{}, fmt.Errorf("a raw disk of %d bytes is not a whole number of 512-byte sectors: "+
			"the file is truncated, or of a format this program does not know", f.size)
	}
	return Image{Size: f.size}, checkTable(f, f.size)
}

// checkTable finds out whether a partition table says that the disk is larger. A disk with another
// fault in its table, or without one, can still be converted.
func checkTable(r io.ReaderAt, size int64) error {
	if _, err := disk.ReadTable(r, size); errors.Is(err, disk.ErrTruncated) {
		return err
	}
	return nil
}

func checkRaw(_ io.ReaderAt, s sizes) error {
	if s.file != s.disk {
		return fmt.Errorf("the file has %d bytes, the disk %d", s.file, s.disk)
	}
	return nil
}
