//go:build root

package image

import (
	"os"
	"testing"

	"imagecustomizer/internal/disk"
)

// TestGrow grows a partition of each kind in the middle of the disk. What lies behind it moves, and
// keeps its content; the filesystem gets what the partition got.
func TestGrow(t *testing.T) {
	files := someFiles()
	root := func(fs string) map[string]string {
		all := map[string]string{"etc/fstab": "/dev/vda2 / " + fs + " defaults 0 1\n"}
		for k, v := range files {
			all[k] = v
		}
		return all
	}
	for _, fs := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fs, func(t *testing.T) {
			f := build(t, "gpt", 512, []part{
				{"size=20M", "mkfs.ext2 -q", map[string]string{"first": "1"}},
				{"size=320M", "mkfs." + fs + " -q", root(fs)},
				{"size=64M", "mkfs.ext4 -q", files},
				{"size=300M, name=last", "mkfs.ext4 -q", files},
			})
			before, sums := readTable(t, f), map[int]string{}
			for n := 1; n <= 4; n++ {
				sums[n] = listing(t, f, n)
			}
			const by = 70 * mib // less than what moves is long: the moves overlap
			size := fileSize(t, f)
			idle := readTable(t, f).Idle(size)
			must(t, Grow(t.Context(), f, 2, by))
			if is := fileSize(t, f); idle < by || is != size {
				t.Errorf("the disk grew from %d bytes to %d, although %d lay idle", size, is, idle)
			}
			d, err := open(t, f)
			must(t, err)
			must(t, d.GrowFilesystem(t.Context(), 2))
			must(t, d.Unmount())
			must(t, d.Check(t.Context()))
			extent, err := disk.FilesystemExtent(d.device(2))
			if err != nil || extent.Size != 390*mib {
				t.Errorf("the filesystem has %d bytes, %v", extent.Size, err)
			}
			must(t, d.Close())
			for i, p := range readTable(t, f).Partitions {
				was := before.Partitions[i]
				wantStart, wantSize := was.Start, was.Size
				if p.Number > 2 {
					wantStart += by
				}
				if p.Number == 2 {
					wantSize += by
				}
				if p.Start != wantStart || p.Size != wantSize || p.UUID != was.UUID || p.Name != was.Name {
					t.Errorf("partition %+v was %+v", p, was)
				}
				if got := listing(t, f, p.Number); got != sums[p.Number] || got == "" {
					t.Errorf("partition %d holds other files", p.Number)
				}
			}
		})
	}
}

// TestGrowFillsWhatLiesIdle: the disk grows only by what does not lie idle at its end.
func TestGrowFillsWhatLiesIdle(t *testing.T) {
	f := build(t, "gpt", 512, []part{{"size=100M", mkRoot, map[string]string{"etc/fstab": noQuota}}, {"size=20M", "mkfs.ext4 -q", map[string]string{"x": "y"}}})
	before, sum := fileSize(t, f), listing(t, f, 2)
	idle := readTable(t, f).Idle(before)
	must(t, Grow(t.Context(), f, 1, idle+30*mib))
	table, size := readTable(t, f), fileSize(t, f)
	if size != before+30*mib || table.Idle(size) != 0 || table.Partitions[0].Size != 100*mib+idle+30*mib {
		t.Errorf("a disk of %d bytes instead of %d, of which %d are idle, and a root of %d", size, before+30*mib, table.Idle(size), table.Partitions[0].Size)
	}
	if listing(t, f, 2) != sum {
		t.Error("what lies behind holds other files")
	}
	d, err := open(t, f)
	must(t, err)
	must(t, d.Unmount())
	must(t, d.Check(t.Context()))
	must(t, d.Close())
}

func fileSize(t *testing.T, f *os.File) int64 {
	t.Helper()
	fi, err := f.Stat()
	must(t, err)
	return fi.Size()
}
