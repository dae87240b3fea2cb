// Package sparse makes files of tests that are mostly holes.
package sparse

import (
	"maps"
	"os"
	"slices"
	"testing"
)

// Disk makes a file of size bytes with that data at those places, and returns its path.
func Disk(t *testing.T, size int64, content map[int64][]byte) string {
	t.Helper()
	f := file(t, size, content)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// Holes makes an open file of size bytes with a byte of data at each place.
func Holes(t *testing.T, size int64, data ...int64) *os.File {
	t.Helper()
	content := map[int64][]byte{}
	for _, at := range data {
		content[at] = []byte{1}
	}
	f := file(t, size, content)
	t.Cleanup(func() { f.Close() })
	return f
}

func file(t *testing.T, size int64, content map[int64][]byte) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "disk")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, at := range slices.Sorted(maps.Keys(content)) { // in this order, since they may overlap
		if _, err := f.WriteAt(content[at], at); err != nil {
			t.Fatal(err)
		}
	}
	return f
}
