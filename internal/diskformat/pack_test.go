package diskformat

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"imagecustomizer/test/sparse"
)

// spread makes a disk with short stretches of data all over it: at its begin and end, across the
// borders of clusters, blocks and tables, zeros between data, and zeros that are no hole.
func spread(t *testing.T, size int64) string {
	t.Helper()
	data := make([]byte, 300<<10)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(data)
	clear(data[100<<10 : 170<<10])
	content := map[int64][]byte{20 * mib: make([]byte, 5*mib)}
	for _, at := range []int64{0, 64<<10 - 512, 3*mib + 4096, 512*mib - 4096, 4096*mib - 4096, 4097*mib + 512, size / 2 &^ 511, size - int64(len(data))} {
		if at >= 0 && at+int64(len(data)) <= size {
			content[at] = data
		}
	}
	return sparse.Disk(t, size, content)
}

// TestPack compares what is packed here with the disk, by means of qemu-img, and its size with what
// qemu-img makes.
func TestPack(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{33*mib + 512, 101 * mib, 4200*mib + 4096} {
		disk := spread(t, size)
		for _, name := range []string{"qcow2", "vhdx", "vdi"} {
			f := byName(name)
			out := filepath.Join(t.TempDir(), "out")
			pack(t, f, disk, size, out)
			tool(t, "qemu-img", "compare", "-f", "raw", "-F", f.driver, disk, out)
			tool(t, "qemu-img", "check", "-f", f.driver, out)
			theirs := filepath.Join(t.TempDir(), "theirs")
			args := []string{"convert", "-f", "raw", "-O", f.driver}
			if len(f.options) > 0 {
				args = append(args, "-o", f.options[0])
			}
			tool(t, "qemu-img", append(args, disk, theirs)...)
			if a, b := used(t, out), used(t, theirs); a > b+mib {
				t.Errorf("%s of a disk of %d bytes takes %d bytes, qemu-img's %d", name, size, a, b)
			}
		}
	}
}

func pack(t *testing.T, f Format, disk string, size int64, out string) {
	t.Helper()
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := f.Write(t.Context(), Raw(disk, size), out, func(_, _ int64) {})
	if err := cmp.Or(err, f.Verify(t.Context(), size, out)); err != nil {
		t.Fatal(err)
	}
}

// TestBecome: a disk's own file becomes what a copy of it would.
func TestBecome(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{33 * mib, 101*mib + 512, 4200*mib + 4096} {
		disk := spread(t, size)
		for _, name := range []string{"qcow2", "vhdx", "vdi", "vhd-fixed"} {
			if name == "vhd-fixed" && size%mib != 0 {
				continue // it has none of that size
			}
			f := byName(name)
			packed, own := filepath.Join(t.TempDir(), "packed"), filepath.Join(t.TempDir(), "own")
			pack(t, f, disk, size, packed)
			become(t, f, disk, size, own)
			tool(t, "qemu-img", "compare", "-f", "raw", "-F", f.driver, disk, own)
			if name == "qcow2" {
				tool(t, "qemu-img", "check", "-f", f.driver, own)
				tool(t, "cmp", packed, own)
			}
			if a, b := used(t, own), used(t, packed); a > b+mib {
				t.Errorf("%s of a disk of %d bytes takes %d bytes, a copy %d", name, size, a, b)
			}
		}
	}
}

// TestBecomeOfAnEmptyDisk has nothing to move.
func TestBecomeOfAnEmptyDisk(t *testing.T) {
	t.Parallel()
	const size = 40 * mib
	disk := sparse.Disk(t, size, nil)
	for _, name := range []string{"qcow2", "vhdx", "vdi"} {
		f := byName(name)
		own := filepath.Join(t.TempDir(), "own")
		become(t, f, disk, size, own)
		tool(t, "qemu-img", "compare", "-f", "raw", "-F", f.driver, disk, own)
	}
}

func become(t *testing.T, f Format, disk string, size int64, own string) {
	t.Helper()
	file, err := os.Create(own)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if !f.InPlace(file) {
		t.Fatalf("the filesystem of %s cannot cut ranges out of a file: set TMPDIR to a folder on ext4 or xfs", own)
	}
	tool(t, "cp", "--sparse=always", disk, own)
	err = f.Become(t.Context(), file, size, func(_, _ int64) {})
	if err := cmp.Or(err, f.Verify(t.Context(), size, own)); err != nil {
		t.Fatal(err)
	}
}

func used(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// TestPackedIsWritable: what QEMU writes into the image later goes where it belongs, and what it
// allocates does not fall on what is there.
func TestPackedIsWritable(t *testing.T) {
	t.Parallel()
	const size = 101 * mib
	disk := spread(t, size)
	for _, name := range []string{"qcow2", "vhdx", "vdi"} {
		f := byName(name)
		dir := t.TempDir()
		out, want := filepath.Join(dir, "out"), filepath.Join(dir, "want")
		pack(t, f, disk, size, out)
		tool(t, "cp", "--sparse=always", disk, want)
		for file, driver := range map[string]string{out: f.driver, want: "raw"} {
			tool(t, "qemu-io", "-f", driver, "-c", "write -P 5 1M 3M", "-c", "write -P 6 60M 9M", file)
		}
		tool(t, "qemu-img", "compare", "-f", "raw", "-F", f.driver, want, out)
		tool(t, "qemu-img", "check", "-f", f.driver, out)
	}
}

func TestQCOW2IsReproducible(t *testing.T) {
	t.Parallel()
	const size = 101 * mib
	disk, dir := spread(t, size), t.TempDir()
	f := qcow2
	var files [2][]byte
	for i, name := range []string{"a", "b"} {
		out := filepath.Join(dir, name)
		pack(t, f, disk, size, out)
		var err error
		if files[i], err = os.ReadFile(out); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("the same disk made two files")
	}
}
