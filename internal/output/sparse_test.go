package output

import (
	"bytes"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestReadSparse(t *testing.T) {
	t.Parallel()
	f, err := os.Open(sparseDisk(t, 64*mib))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct {
		at, length int64
		found      bool
	}{
		{0, 4096, true},
		{0, 64 * mib, true},
		{mib, mib, false},
		{19*mib + 5, 2 * mib, true},
		{frameSize - 5000, 10000, true},
		{64*mib - 512, 512, true},
		{50 * mib, 7*mib + 3, false},
	} {
		got, want := bytes.Repeat([]byte{7}, int(c.length)), make([]byte, c.length)
		if _, err := f.ReadAt(want, c.at); err != nil {
			t.Fatal(err)
		}
		found, err := readSparse(f, got, c.at)
		if !found {
			clear(got)
		}
		if err != nil || found != c.found || !bytes.Equal(got, want) {
			t.Errorf("%d bytes at %d: found %v, %v, same bytes %v", c.length, c.at, found, err, bytes.Equal(got, want))
		}
	}
}

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

func TestIsZero(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		b    []byte
		want bool
	}{{[]byte{0}, true}, {[]byte{1}, false}, {make([]byte, 4097), true}, {bytes.Repeat([]byte{1}, 9), false}, {append(make([]byte, 99), 1), false}} {
		if got := isZero(c.b); got != c.want {
			t.Errorf("isZero(%v) = %v", c.b, got)
		}
	}
}
