package diskformat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/disk"
)

// TestVDIHeader holds what VirtualBox wants besides what QEMU does: two identifiers, none of a parent, sectors of
// 512 bytes in the second geometry too, and the number of blocks, behind which it puts the next.
func TestVDIHeader(t *testing.T) {
	t.Parallel()
	const size = 33*mib + 512
	out := filepath.Join(t.TempDir(), "out.vdi")
	pack(t, vdi, spread(t, size), size, out)
	b := read(t, out)
	zero := make([]byte, 16)
	for what, bad := range map[string]bool{
		"identifier":       bytes.Equal(b[0x188:0x198], zero),
		"second one":       bytes.Equal(b[0x198:0x1a8], zero),
		"same identifiers": bytes.Equal(b[0x188:0x198], b[0x198:0x1a8]),
		"parent":           !bytes.Equal(b[0x1a8:0x1c8], make([]byte, 32)),
		"sectors":          binary.LittleEndian.Uint32(b[0x1d4:]) != 512,
		"whole blocks":     len(b)%mib != 0,
		"number of blocks": int(binary.LittleEndian.Uint32(b[0x184:])) != len(b)/mib-1,
	} {
		if bad {
			t.Errorf("%s is wrong", what)
		}
	}
}

// TestVDIIsReproducible: the same disk and seed make the same file, another seed another one, which can be
// registered beside it.
func TestVDIIsReproducible(t *testing.T) {
	t.Parallel()
	const size = 33 * mib
	raw, dir := spread(t, size), t.TempDir()
	write := func(seed string) []byte {
		id := Identity{At: time.Unix(1e9, 0), UUID: func(what string) string {
			return "00000000-0000-4000-8000-" + (seed + strings.Repeat("0", 12))[:10] + map[bool]string{true: "01", false: "02"}[what == "output vdi"]
		}}
		out := filepath.Join(dir, seed)
		pack(t, vdi.As(id), raw, size, out)
		return read(t, out)
	}
	a, again, b := write("a"), write("a"), write("b")
	if !bytes.Equal(a, again) {
		t.Error("the same seed made two files")
	}
	if bytes.Equal(a[0x188:0x198], b[0x188:0x198]) || !bytes.Equal(a[0x200:], b[0x200:]) {
		t.Error("another seed makes the same identifier, or another disk")
	}
}

// TestVDIFaults: what cannot be true is refused, whether or not QEMU would read it.
func TestVDIFaults(t *testing.T) {
	t.Parallel()
	from := rawDisk(t, diskSize)
	good := read(t, input(t, "vdi", from))
	put := binary.LittleEndian.PutUint32
	table := binary.LittleEndian.Uint32(good[vdiTableAt:])
	for fault, c := range map[string]struct {
		change func(d []byte)
		want   string
	}{
		"version":       {func(d []byte) { d[vdiVersion]++ }, "version 1.2"},
		"changes":       {func(d []byte) { d[vdiType] = 4 }, "merge them first"},
		"parent":        {func(d []byte) { d[vdiParent] = 1 }, "merge them first"},
		"state":         {func(d []byte) { d[vdiParent+16] = 1 }, "merge them first"},
		"blocks":        {func(d []byte) { put(d[vdiBlockSize:], 2*mib) }, "blocks of 2097152 bytes"},
		"extra":         {func(d []byte) { put(d[vdiExtra:], 512) }, "with 512 before each"},
		"sectors":       {func(d []byte) { put(d[vdiSector:], 4096) }, "sectors of 4096"},
		"no disk":       {func(d []byte) { clear(d[vdiDisk : vdiDisk+8]) }, "damaged"},
		"huge disk":     {func(d []byte) { d[vdiDisk+7] = 0x7f }, "damaged"},
		"few blocks":    {func(d []byte) { put(d[vdiBlocks:], 2) }, "damaged"},
		"many blocks":   {func(d []byte) { put(d[vdiBlocks:], 1<<32-1) }, "damaged"},
		"table in head": {func(d []byte) { put(d[vdiTableAt:], 0) }, "damaged"},
		"data in table": {func(d []byte) { put(d[vdiDataAt:], 512) }, "damaged"},
		"data outside":  {func(d []byte) { put(d[vdiDataAt:], 1<<31) }, "truncated"},
		"block outside": {func(d []byte) { put(d[table:], 1<<20) }, "truncated"},
	} {
		data := bytes.Clone(good)
		c.change(data)
		_, err := probeBytes(data, false)
		if err == nil || !strings.Contains(err.Error(), c.want) && !(c.want == "truncated" && errors.Is(err, disk.ErrTruncated)) {
			t.Errorf("%s: %v, want %q", fault, err, c.want)
		}
	}
	good[vdiType] = vdiStatic // such files have all blocks, and the same tables
	if got, err := walk(t, "vdi", good); err != nil || !bytes.Equal(got, read(t, from)) {
		t.Errorf("the disk is not the same, %v", err)
	}
}

// TestVDICheck: a file that VirtualBox would damage does not pass for a good one.
func TestVDICheck(t *testing.T) {
	t.Parallel()
	const size = 33 * mib
	out := filepath.Join(t.TempDir(), "out.vdi")
	pack(t, vdi, spread(t, size), size, out)
	good := read(t, out)
	for fault, change := range map[string]func(d []byte) []byte{
		"too few counted": func(d []byte) []byte { d[vdiUsed]--; return d },
		"too long":        func(d []byte) []byte { return append(d, 0) },
		"too short":       func(d []byte) []byte { return d[:len(d)-1] },
		"another":         func(d []byte) []byte { return d[vdiMarkAt:] },
	} {
		if err := os.WriteFile(out, change(bytes.Clone(good)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := vdi.Verify(t.Context(), size, out); err == nil {
			t.Errorf("%s: passes", fault)
		}
	}
}

func FuzzVDI(f *testing.F) {
	name := filepath.Join(f.TempDir(), "image")
	tool(f, "qemu-img", "create", "-q", "-f", "vdi", name, "9M")
	d := read(f, name)
	f.Add(d[vdiVersion:vdiHeader], d[vdiHeader:][:36])
	f.Fuzz(func(t *testing.T, header, table []byte) {
		d := make([]byte, 4*mib)
		copy(d[vdiVersion:vdiHeader], header)
		copy(d[vdiMarkAt:], vdiMark)
		copy(d[vdiHeader:], table)
		v, err := readVDI(bytes.NewReader(d), int64(len(d)))
		if err != nil {
			return
		}
		last := int64(0)
		_ = v.each(t.Context(), func(from, to, n int64) error {
			if from <= 0 || from+n > v.file || to < last || n <= 0 || to+n > v.disk {
				t.Errorf("%d bytes from %d to %d, after %d", n, from, to, last)
			}
			last = to + n
			return nil
		})
	})
}
