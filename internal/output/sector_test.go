package output

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/test/sparse"
)

// TestBigSectors: a disk whose partition table counts sectors of 4096 bytes becomes a VHDX that says so,
// however it is made, and no VHD.
func TestBigSectors(t *testing.T) {
	t.Parallel()
	const size = 4200 * mib // more blocks than one stretch of the table of a VHDX with small sectors has
	disk := sparse.Disk(t, size, map[int64][]byte{4096: []byte("EFI PART"), 4199 * mib: []byte("the end")})
	dir := t.TempDir()
	qcow := filepath.Join(dir, "in.qcow2")
	run(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, qcow)
	sources := map[string]diskformat.Source{"raw": diskformat.Raw(disk, size), "qcow2": {Path: qcow, Image: diskformat.Image{Name: "qcow2", Size: size}}}
	for name, source := range sources {
		out := filepath.Join(dir, name+".vhdx")
		writeFrom(t, "vhdx", source, out)
		checkOdd(t, out, disk, size)
		for _, vhd := range []string{"vhd", "vhd-fixed"} {
			if err := format(t, vhd).AcceptsDisk(t.Context(), source); err == nil || !strings.Contains(err.Error(), "4096 bytes") {
				t.Errorf("%s of %s: %v", vhd, name, err)
			}
		}
	}
	own, err := os.Create(filepath.Join(dir, "own.vhdx"))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	run(t, "cp", "--sparse=always", disk, own.Name())
	if err := Become(t.Context(), format(t, "vhdx"), own, size, nil); err != nil {
		t.Fatal(err)
	}
	checkOdd(t, own.Name(), disk, size)
}

func writeFrom(t *testing.T, name string, source diskformat.Source, out string) {
	t.Helper()
	p := create(t, out)
	if err := WriteFrom(t.Context(), format(t, name), source, p, func(_, _ int64) {}); err != nil {
		t.Fatal(err)
	}
	if err := Publish(p); err != nil {
		t.Fatal(err)
	}
}

// checkOdd reads a VHDX back.
func checkOdd(t *testing.T, file, disk string, size int64) {
	t.Helper()
	f, err := diskformat.Probe(t.Context(), file, false)
	if err != nil || !f.Odd || f.Size != size {
		t.Fatalf("%s: %+v, %v", file, f, err)
	}
	back, err := os.Create(filepath.Join(t.TempDir(), "back"))
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if err := diskformat.Read(t.Context(), file, f, back, func(_, _ int64) {}); err != nil {
		t.Fatal(err)
	}
	run(t, "cmp", disk, back.Name())
	head := make([]byte, 4*mib)
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.ReadAt(head, 0); err != nil {
		t.Fatal(err)
	}
	if bytes.Count(head, []byte{0, 0x10, 0, 0, 0, 0x10, 0, 0}) == 0 { // logical and physical
		t.Errorf("%s does not say that its sectors have 4096 bytes", file)
	}
}
