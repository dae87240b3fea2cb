package output

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"

	"imagecustomizer/internal/extent"
	"imagecustomizer/test/sparse"
)

func unzstd(t *testing.T, data []byte) []byte {
	t.Helper()
	c := exec.Command("zstd", "-q", "-d", "-c")
	c.Stdin = bytes.NewReader(data)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("zstd -d: %v", err)
	}
	return out
}

func TestDeflatorRoundTrip(t *testing.T) {
	t.Parallel()
	path := sparseDisk(t, diskSize)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		d        deflator
		at, size int64
	}{
		{deflator{level: 9}, 0, diskSize},
		{deflator{level: 3, long: true}, 7*mib + 512, 30 * mib},
		{deflator{level: 20, long: true}, 24 * mib, mib},
		{deflator{level: 1}, 50 * mib, 17*mib + 512},
	} {
		out := sparse.Holes(t, 0)
		to := &sink{file: out, at: 100, sum: sha512.New384()}
		var last int64
		if err := c.d.write(context.Background(), extent.View{File: f}, c.at, c.size, to, func(done int64) { last = done }); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(out, 100, 1<<40))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(unzstd(t, got), whole[c.at:c.at+c.size]) || last != c.size {
			t.Errorf("%+v: other bytes come back, or progress ends at %d", c, last)
		}
		if sum := sha512.Sum384(got); !bytes.Equal(sum[:], to.sum.Sum(nil)) || to.at != 100+int64(len(got)) {
			t.Errorf("%+v: %d bytes written, %d said, or another sum", c, len(got), to.at-100)
		}
	}
}

func TestDeflatorIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := deflator{level: 9}.write(ctx, extent.View{File: sparse.Holes(t, 8*mib, 0, 4*mib)}, 0, 8*mib, &sink{file: sparse.Holes(t, 0)}, func(int64) {})
	if err == nil {
		t.Error("a cancelled context is no error")
	}
}

// TestDeflatorReadsAll: a disk that cannot be read to its end is an error, although the program compresses
// what there is of it.
func TestDeflatorReadsAll(t *testing.T) {
	t.Parallel()
	short := sparse.Holes(t, mib, 0)
	f := extent.View{File: sparse.Holes(t, 4*mib, 0, 4*mib-1), Where: func(_, end int64) (*os.File, int64) { return short, end }}
	for _, d := range []deflator{{level: 9}, {level: 9, long: true}} {
		err := d.write(context.Background(), f, 0, 4*mib, &sink{file: sparse.Holes(t, 0)}, func(int64) {})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%+v: %v", d, err)
		}
	}
}
