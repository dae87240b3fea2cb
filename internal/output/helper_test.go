package output

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/test/sparse"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func sha256Of(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

// sparseDisk makes a raw disk of size bytes with data at both ends, across the border of two zstd
// frames, and random bytes, text and written zeros in between.
func sparseDisk(t *testing.T, size int64) string {
	t.Helper()
	random := make([]byte, 3*mib)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	return sparse.Disk(t, size, map[int64][]byte{
		0:                   append(bytes.Repeat([]byte{0}, 510), 0x55, 0xaa),
		8*mib - 4096:        random[:8192],
		20 * mib:            random,
		24*mib + 512:        bytes.Repeat([]byte("text that compresses\n"), 50000),
		40 * mib:            make([]byte, 2*mib),
		(size - 512) &^ 511: []byte("the end"),
	})
}

// format is the format of that name.
func format(t *testing.T, name string) diskformat.Format {
	t.Helper()
	f, err := diskformat.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wholeFormats are the formats of a disk as a whole.
func wholeFormats() []diskformat.Format {
	return slices.DeleteFunc(diskformat.Formats(), func(f diskformat.Format) bool { return f.InParts() || f.Live })
}
