//go:build root

package image

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/extent"
)

// someFiles are files of random content, 20 MiB together.
func someFiles() map[string]string {
	files := map[string]string{}
	random := rand.NewChaCha8([32]byte{7})
	for i := range 20 {
		data := make([]byte, mib)
		_, _ = random.Read(data)
		files[fmt.Sprintf("dir%d/file%d", i%3, i)] = string(data)
	}
	return files
}

// listing is the content of a partition's filesystem, as sums.
func listing(t testing.TB, f *os.File, number int) string {
	t.Helper()
	d, err := Attach(f)
	must(t, err)
	defer func() { must(t, d.Close()) }()
	for _, v := range d.Volumes {
		if v.Number == number {
			dir := t.TempDir()
			must(t, disk.MountVolume(d.device(v.Number), dir, v.Content.Type, "", true))
			defer func() { must(t, disk.Unmount(dir)) }()
			return run(t, "", "sh", "-ec", "cd "+dir+"; find . -type f -exec sha256sum {} + | sort -k2")
		}
	}
	t.Fatalf("no partition %d", number)
	return ""
}

// TestShrink shrinks each kind of filesystem and finds its files, small partitions, and nothing
// written behind them.
func TestShrink(t *testing.T) {
	files := someFiles()
	parts := []part{
		{"size=300M", "mkfs.ext4 -q", files},
		{"size=50M", "mkfs.ext2 -q -b 1024", map[string]string{"a": "b"}},
		{"size=500M", "mkfs.btrfs -q", files},
		{"size=64M, name=kept", "mkfs.ext4 -q", map[string]string{"kept": "kept"}},
		{"size=100M", "mkfs.ext4 -q", map[string]string{"short": "short"}},
		{"size=20M, type=swap", "mkswap -q", nil},
		{"size=100M", "mkfs.ext4 -q -O bigalloc", map[string]string{"clusters": "clusters"}},
	}
	f := build(t, "gpt", 512, parts)
	before := map[int]string{}
	for n := range 5 {
		before[n+1] = listing(t, f, n+1)
	}
	table, journal := readTable(t, f), journalOf(t, f, 1)
	d, err := Attach(f)
	must(t, err)
	run(t, "", "e2fsck", "-fy", d.device(5))
	run(t, "", "resize2fs", d.device(5), "40M")
	must(t, d.Shrink(t.Context(), f, 8*mib, map[int]bool{4: true}))
	must(t, d.Close())
	most := map[int]int64{1: 70 * mib, 2: 16 * mib, 3: 256 * mib, 4: 64 * mib, 5: 100 * mib, 6: 20 * mib, 7: 100 * mib}
	for i, p := range readTable(t, f).Partitions {
		was := table.Partitions[i]
		kept := p.Number >= 4
		if p.Size > most[p.Number] || p.Start != was.Start || kept != (p.Size == was.Size) {
			t.Errorf("partition %d: at %d, %d bytes, was at %d with %d", p.Number, p.Start, p.Size, was.Start, was.Size)
		}
	}
	for n, want := range before {
		if got := listing(t, f, n); got != want || want == "" {
			t.Errorf("partition %d holds other files", n)
		}
	}
	if got := journalOf(t, f, 1); got != journal || !strings.Contains(got, "M") {
		t.Errorf("journal of %q, was %q", got, journal)
	}
	if out := run(t, "", "sgdisk", "-v", f.Name()); !strings.Contains(out, "No problems found") {
		t.Error(out)
	}
	again, err := Attach(f)
	must(t, err)
	must(t, again.Check(t.Context()))
	must(t, again.Close())
	must(t, CutDisk(f))
	end := table.Partitions[6].Start + 101*mib
	if fi, err := f.Stat(); err != nil || fi.Size() != end {
		t.Errorf("the disk ends at %d, want %d (%v)", fi.Size(), end, err)
	}
	if w := readTable(t, f).Warnings; len(w) > 0 {
		t.Error(w)
	}
}

// journalOf is how large the journal of an ext filesystem is.
func journalOf(t *testing.T, f *os.File, number int) string {
	t.Helper()
	d, err := Attach(f)
	must(t, err)
	defer func() { must(t, d.Close()) }()
	return run(t, "", "sh", "-c", "dumpe2fs -h "+d.device(number)+" | sed -n 's/^Total journal size: *//p'")
}

// TestShrinkXFS finds a smaller filesystem with the identifiers, the label, the features, the files and
// the hard links of the old one, in the place of that; one that cannot get smaller stays as it is.
func TestShrinkXFS(t *testing.T) {
	files := someFiles()
	f := build(t, "gpt", 512, []part{
		{"size=700M", "mkfs.xfs -q -L files -m bigtime=0,rmapbt=1 -i nrext64=0", files},
		{"size=300M", "mkfs.xfs -q", files},
		{"size=500M", "mkfs.xfs -q -n size=8192", map[string]string{"unusual": "unusual"}},
	})
	before, table := xfsIdentity(t, f, 1), readTable(t, f)
	sums := map[int]string{1: listing(t, f, 1), 2: listing(t, f, 2), 3: listing(t, f, 3)}
	d, err := Attach(f)
	must(t, err)
	must(t, d.Shrink(t.Context(), f, 8*mib, nil))
	must(t, d.Close())
	for i, p := range readTable(t, f).Partitions {
		if was := table.Partitions[i]; p.Start != was.Start || (p.Size < was.Size) != (p.Number == 1) {
			t.Errorf("partition %d: %d bytes at %d, were %d at %d", p.Number, p.Size, p.Start, was.Size, was.Start)
		}
		if got := listing(t, f, p.Number); got != sums[p.Number] || got == "" {
			t.Errorf("partition %d holds other files", p.Number)
		}
	}
	if p := readTable(t, f).Partitions[0]; p.Size > 301*mib {
		t.Errorf("the xfs still has %d bytes", p.Size)
	}
	if after := xfsIdentity(t, f, 1); after != before || !strings.Contains(after, "files") {
		t.Errorf("was %s\nis  %s", before, after)
	}
	if fi, err := f.Stat(); err != nil || fi.Size() != 1600*mib {
		t.Errorf("the disk has %d bytes, %v", fi.Size(), err)
	}
	again, err := Attach(f)
	must(t, err)
	must(t, again.Check(t.Context()))
	must(t, again.Close())
}

// xfsIdentity is what identifies an xfs and its features, but not its size.
func xfsIdentity(t *testing.T, f *os.File, number int) string {
	t.Helper()
	d, err := Attach(f)
	must(t, err)
	defer func() { must(t, d.Close()) }()
	dev := d.device(number)
	return run(t, "", "sh", "-c", "blkid -p -s UUID -s LABEL -o value "+dev+"; xfs_info "+dev+" | grep -o '[a-z0-9]*=[01]\\b' | tr '\n' ' '")
}

// TestShrinkFreesTheDisk: what a filesystem gave up is a hole.
func TestShrinkFreesTheDisk(t *testing.T) {
	f := build(t, "gpt", 512, []part{{"size=300M", "mkfs.ext4 -q", map[string]string{"a": "b"}}})
	at := readTable(t, f).Partitions[0].Start + 200*mib
	_, err := f.WriteAt([]byte(strings.Repeat("left over ", 1000)), at)
	must(t, err)
	d, err := Attach(f)
	must(t, err)
	must(t, d.Shrink(t.Context(), f, 0, nil))
	must(t, d.Close())
	if start, _, err := extent.Next(int(f.Fd()), at&^(mib-1), at+mib); err != nil || start < at+mib-4096 {
		t.Errorf("data at %d, %v", start-at, err)
	}
}

func readTable(t testing.TB, f *os.File) *disk.Table {
	t.Helper()
	fi, err := f.Stat()
	must(t, err)
	table, err := disk.ReadTable(f, fi.Size())
	must(t, err)
	return table
}
