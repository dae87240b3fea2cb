//go:build root

package cow

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if status, ok := Main(); ok {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

const size = 8<<20 + 1536 // the last block is not whole

// sparse makes a file with data and holes, and returns what is in it.
func sparse(t *testing.T, r *rand.Rand, name string) (*os.File, []byte) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	want := make([]byte, size)
	for at := 0; at < size; at += 64 << 10 {
		if r.IntN(3) > 0 {
			noise(r, want[at:min(size, at+64<<10)])
			if _, err := f.WriteAt(want[at:min(size, at+64<<10)], int64(at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f, want
}

// show opens a file writable, with a new delta.
func show(t *testing.T, base *os.File) (f *Disk, delta *os.File) {
	t.Helper()
	delta, err := os.Create(filepath.Join(t.TempDir(), "delta"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { delta.Close() })
	if f, err = Open(base, delta, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, delta
}

func noise(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

func content(t *testing.T, f io.ReaderAt) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// inPlace is the content as it is found where the disk says that it is.
func inPlace(t *testing.T, d *Disk, size int64) []byte {
	t.Helper()
	b := make([]byte, size)
	for at := int64(0); at < size; {
		f, stop := d.Where(at, size)
		if f != nil {
			if _, err := f.ReadAt(b[at:stop], at); err != nil {
				t.Fatalf("at %d: %v", at, err)
			}
		}
		at = stop
	}
	return b
}

// change does something to the file and to what it should hold.
func change(r *rand.Rand, f *Disk, want []byte) ([]byte, string, error) {
	at := r.IntN(len(want))
	n := r.IntN(min(len(want)-at, 300<<10)) + 1
	if r.IntN(2) == 0 {
		at, n = at&^511, (n+511)&^511
		n = min(n, len(want)-at)
	}
	part := want[at : at+n]
	switch r.IntN(8) {
	case 0, 1, 2:
		noise(r, part)
		if r.IntN(2) == 0 {
			clear(part[n/3 : n/3*2])
		}
		_, err := f.WriteAt(part, int64(at))
		return want, fmt.Sprintf("write %d at %d", n, at), err
	case 3:
		clear(part)
		_, err := f.WriteAt(part, int64(at))
		return want, fmt.Sprintf("write %d zeros at %d", n, at), err
	case 4, 5:
		clear(part)
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(at), int64(n))
		return want, fmt.Sprintf("punch %d at %d", n, at), err
	case 6:
		clear(part)
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, int64(at), int64(n))
		return want, fmt.Sprintf("zero %d at %d", n, at), err
	}
	to := size - 256<<10 + r.IntN(512<<10)
	err := f.Truncate(int64(to))
	return append(want[:min(to, len(want))], make([]byte, max(0, to-len(want)))...), fmt.Sprintf("truncate to %d", to), err
}

// holesAreZeros tells whether what the file calls a hole is one.
func holesAreZeros(f *Disk, want []byte) bool {
	fd, end := int(f.Fd()), int64(len(want))
	for at := int64(0); at < end; {
		hole, err := unix.Seek(fd, at, unix.SEEK_HOLE)
		if err != nil {
			return false
		}
		data, err := unix.Seek(fd, hole, unix.SEEK_DATA)
		if err != nil {
			data = end
		}
		if len(bytes.Trim(want[hole:data], "\x00")) > 0 {
			return false
		}
		at = data
	}
	return true
}

func TestChangesShowAndTheBaseStays(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1))
		base, want := sparse(t, r, "base")
		original := bytes.Clone(want)
		f, _ := show(t, base)
		var done []string
		for i := range 300 {
			var what string
			var err error
			want, what, err = change(r, f, want)
			done = append(done, what)
			if err != nil {
				t.Fatalf("seed %d: %s: %v", seed, what, err)
			}
			if i%20 == 19 {
				unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // ask the server, not the page cache
				if got := content(t, f); !bytes.Equal(got, want) {
					t.Fatalf("seed %d: other content (%d bytes, want %d) after %q", seed, len(got), len(want), done)
				}
				if !bytes.Equal(inPlace(t, f, int64(len(want))), want) {
					t.Fatalf("seed %d: other content where it is said to be after %q", seed, done)
				}
				if !holesAreZeros(f, want) {
					t.Fatalf("seed %d: data in a hole after %q", seed, done)
				}
			}
		}
		if !bytes.Equal(content(t, base), original) {
			t.Error("the base has changed")
		}
	}
}

func TestZerosTakeNoSpace(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	base, want := sparse(t, r, "base")
	f, delta := show(t, base)
	if _, err := f.WriteAt(make([]byte, 4<<20), 1<<20); err != nil {
		t.Fatal(err)
	}
	clear(want[1<<20 : 5<<20])
	var st unix.Stat_t
	if err := unix.Fstat(int(delta.Fd()), &st); err != nil || st.Blocks > 0 {
		t.Errorf("%d blocks of zeros, %v", st.Blocks, err)
	}
	if at, err := unix.Seek(int(f.Fd()), 1<<20, unix.SEEK_HOLE); at != 1<<20 {
		t.Errorf("the hole begins at %d, %v", at, err)
	}
	if !bytes.Equal(content(t, f), want) {
		t.Error("other content")
	}
}

func TestLargeDisksTakeLittleMemory(t *testing.T) {
	const base, written, end = 1 << 40, 3<<40 + 4096, 4<<40 + 1536
	b, err := os.Create(filepath.Join(t.TempDir(), "base"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.WriteAt([]byte("base"), base); err != nil {
		t.Fatal(err)
	}
	if err := b.Truncate(end); err != nil {
		t.Fatal(err)
	}
	d, delta := show(t, b)
	if _, err := d.WriteAt([]byte("delta"), written); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{base, written} {
		if at, err := unix.Seek(int(d.Fd()), want-1<<39, unix.SEEK_DATA); at != want {
			t.Errorf("data at %d, %v, want %d", at, err, want)
		}
	}
	if f, stop := d.Where(written, end); f != delta || stop != written+4096 {
		t.Errorf("in %v up to %d", f, stop)
	}
	if f, stop := d.Where(written+4096, end); f != b || stop != end {
		t.Errorf("behind it: in %v up to %d", f, stop)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(d.blocks.memory.Fd()), &st); err != nil || st.Blocks*512 > 64<<10 {
		t.Errorf("%d blocks of memory, %v", st.Blocks, err)
	}
}
