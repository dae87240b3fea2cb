package initramfs

import (
	"fmt"
	"io"
)

// What an image may make us read: bytes of an initramfs as it lies there, and unpacked. The largest that
// distributions make have a fifth of that.
const (
	maxPacked   = 512 << 20
	maxUnpacked = 2 << 30
	// maxWindow is how far back a zstd stream may refer, as for the kernel (lib/zstd).
	maxWindow = 128 << 20
)

// bounded ends with an error after left bytes.
type bounded struct {
	io.Reader
	left int64
}

// Read reads what is allowed.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("unpacked it has more than the %d MiB that an initramfs may have", int64(maxUnpacked)>>20)
	}
	return n, err
}
