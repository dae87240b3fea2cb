package diskformat

import (
	"maps"
	"os"
	"slices"
	"testing"
)

// diskOf makes a sparse disk with that data at those places.
func diskOf(t *testing.T, size int64, content map[int64][]byte) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "disk")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, at := range slices.Sorted(maps.Keys(content)) { // in this order, since they may overlap
		if _, err := f.WriteAt(content[at], at); err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}
