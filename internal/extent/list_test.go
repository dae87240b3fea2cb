package extent

import (
	"testing"

	"imagecustomizer/test/sparse"

	"github.com/google/go-cmp/cmp"
)

func TestList(t *testing.T) {
	t.Parallel()
	const block = 4096
	for _, c := range []struct {
		name     string
		size     int64
		data     []int64
		from, to int64
		want     []Extent
	}{
		{"all hole", 8 * mib, nil, mib, 7 * mib, []Extent{{mib, 6 * mib, true}}},
		{"small holes are data", 8 * mib, []int64{0, block * 2, mib / 2, mib}, 0, mib + block, []Extent{{0, mib + block, false}}},
		{"large holes are not", 8 * mib, []int64{0, 2 * mib, 4 * mib}, 0, 8 * mib, []Extent{
			{0, block, false},
			{block, 2*mib - block, true},
			{2 * mib, block, false},
			{2*mib + block, 2*mib - block, true},
			{4 * mib, block, false},
			{4*mib + block, 4*mib - block, true},
		}},
		{"a small hole at the end is one", 2 * mib, []int64{2*mib - 2*block}, mib, 2 * mib, []Extent{
			{mib, mib - block, false}, {2*mib - block, block, true},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := List(sparse.Holes(t, c.size, c.data...), c.from, c.to-c.from, mib)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// unzstd decompresses with the program, whose limit on windows is 128 MiB.
