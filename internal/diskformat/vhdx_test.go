package diskformat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"imagecustomizer/internal/disk"
)

// seal gives a changed structure of a VHDX its checksum.
func seal(b []byte) {
	clear(b[4:8])
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// TestVHDXWithoutQEMU: the table of blocks suffices for whatever qemu-img writes.
func TestVHDXWithoutQEMU(t *testing.T) {
	t.Parallel()
	from := rawDisk(t, vhdxDisk)
	for _, name := range []string{"vhdx", "vhdx small blocks", "vhdx fixed"} {
		if got, err := walk(t, "vhdx", read(t, input(t, name, from))); err != nil || !bytes.Equal(got, read(t, from)) {
			t.Errorf("%s: the disk is not the same, %v", name, err)
		}
	}
}

const vhdxDisk = 17 * mib

// TestVHDXFaults: what is there twice is needed once; where the table does not suffice, qemu-img must
// be asked.
func TestVHDXFaults(t *testing.T) {
	t.Parallel()
	from := rawDisk(t, vhdxDisk)
	good := read(t, input(t, "vhdx small blocks", from))
	for fault, c := range map[string]struct {
		change func(d []byte)
		want   error
	}{
		"first header":   {func(d []byte) { d[vhdxHeader1+20]++ }, nil},
		"second header":  {func(d []byte) { d[vhdxHeader2+20]++ }, nil},
		"both headers":   {func(d []byte) { d[vhdxHeader1+20]++; d[vhdxHeader2+20]++ }, errVHDX},
		"first regions":  {func(d []byte) { d[vhdxRegions1+40]++ }, nil},
		"both regions":   {func(d []byte) { d[vhdxRegions1+40]++; d[vhdxRegions2+40]++ }, errVHDX},
		"log":            {func(d []byte) { fullLog(d[vhdxHeader1:]); fullLog(d[vhdxHeader2:]) }, errVHDX},
		"parent":         {func(d []byte) { blocks(d)[0] |= vhdxPartly }, errVHDX},
		"block outside":  {func(d []byte) { blocks(d)[6] = 0xff }, disk.ErrTruncated},
		"block at start": {func(d []byte) { clear(blocks(d)[:8]); blocks(d)[0] = vhdxPresent }, disk.ErrTruncated},
	} {
		data := bytes.Clone(good)
		c.change(data)
		got, err := walk(t, "vhdx", data)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("fault in %s: %v", fault, err)
		}
		if c.want == nil && !bytes.Equal(got, read(t, from)) {
			t.Errorf("fault in %s: the disk is not the same", fault)
		}
	}
}

func fullLog(header []byte) {
	header[48] = 1
	seal(header[:vhdxHeaderSize])
}

// blocks is the table of blocks of a file.
func blocks(d []byte) []byte {
	e := entry(d[vhdxRegions1:vhdxRegions1+vhdxRegionsSize], 8, 16, vhdxTableID)
	return d[binary.LittleEndian.Uint64(e[16:]):]
}

// walk copies an image by its tables alone.
func walk(t *testing.T, format string, data []byte) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := os.Open(filepath.Join(dir, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	err = copyLayout(t.Context(), Image{Name: format}, src, dst, func(_, _ int64) {})
	return read(t, dst.Name()), err
}

// TestVHDXWithManyChunks has more blocks than lie between two bitmap entries of the table.
func TestVHDXWithManyChunks(t *testing.T) {
	t.Parallel()
	const size = 10 << 30
	from := rawDisk(t, size)
	file := filepath.Join(t.TempDir(), "image")
	tool(t, "qemu-img", "convert", "-f", "raw", "-O", "vhdx", "-o", "block_size=1048576", from, file)
	out := convert(t, file, Image{Name: "vhdx", Size: size})
	tool(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", from, out)
}

func FuzzVHDX(f *testing.F) {
	name := filepath.Join(f.TempDir(), "image")
	tool(f, "qemu-img", "create", "-q", "-f", "vhdx", name, "5G")
	d := read(f, name)
	f.Add(d[vhdxHeader1:vhdxHeader1+256], d[vhdxRegions1:vhdxRegions1+256], d[2*mib:2*mib+512], d[2*mib+64<<10:2*mib+64<<10+64])
	f.Fuzz(func(t *testing.T, header, regions, metadata, items []byte) {
		d := make([]byte, 4*mib)
		for at, b := range map[int][]byte{vhdxHeader1: header, vhdxRegions1: regions, 2 * mib: metadata, 2*mib + 64<<10: items} {
			copy(d[at:min(len(d), at+64<<10)], b)
		}
		copy(d[vhdxHeader1:], "head")
		copy(d[vhdxRegions1:], "regi")
		seal(d[vhdxHeader1 : vhdxHeader1+vhdxHeaderSize])
		seal(d[vhdxRegions1 : vhdxRegions1+vhdxRegionsSize])
		v, err := readVHDX(bytes.NewReader(d), int64(len(d)))
		if err != nil {
			return
		}
		if v.disk <= 0 || v.block <= 0 || v.ratio <= 0 || v.table <= 0 || v.table >= int64(len(d)) {
			t.Errorf("%+v", v)
		}
	})
}
