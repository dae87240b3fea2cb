package extent

import (
	"bytes"
	"os"
	"testing"

	"imagecustomizer/test/sparse"
)

const mib = 1 << 20

func TestRead(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("data"), mib/4)
	disk := sparse.Disk(t, 64*mib, map[int64][]byte{0: data[:512], border - 4096: data[:8192], 20 * mib: data, 40 * mib: make([]byte, 2*mib), 64*mib - 512: data[:512]})
	f, err := os.Open(disk)
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
		{border - 5000, 10000, true},
		{64*mib - 512, 512, true},
		{50 * mib, 7*mib + 3, false},
	} {
		got, want := bytes.Repeat([]byte{7}, int(c.length)), make([]byte, c.length)
		if _, err := f.ReadAt(want, c.at); err != nil {
			t.Fatal(err)
		}
		found, err := Read(f, got, c.at)
		if !found {
			clear(got)
		}
		if err != nil || found != c.found || !bytes.Equal(got, want) {
			t.Errorf("%d bytes at %d: found %v, %v, same bytes %v", c.length, c.at, found, err, bytes.Equal(got, want))
		}
	}
}

// border is where data crosses a multiple of what is read at once.
const border = 8 * mib

func TestAllZero(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		b    []byte
		want bool
	}{{[]byte{0}, true}, {[]byte{1}, false}, {make([]byte, 4097), true}, {bytes.Repeat([]byte{1}, 9), false}, {append(make([]byte, 99), 1), false}} {
		if got := AllZero(c.b); got != c.want {
			t.Errorf("AllZero(%v) = %v", c.b, got)
		}
	}
}
