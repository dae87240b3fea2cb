package diskformat

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestZeroFrame(t *testing.T) {
	t.Parallel()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, n := range []uint32{1, 128 << 10, 128<<10 + 1, frameSize} {
		got, err := d.DecodeAll(zeroFrame(n), nil)
		if err != nil || !bytes.Equal(got, make([]byte, n)) {
			t.Errorf("%d zeros come back as %d bytes, %v", n, len(got), err)
		}
	}
	if n := len(zeroFrame(frameSize)); n > 300 {
		t.Errorf("8 MiB of zeros take %d bytes", n)
	}
}
