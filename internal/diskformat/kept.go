package diskformat

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"imagecustomizer/internal/disk"
)

// kept is what a file of a format keeps of another one whose place it takes.
type kept struct {
	QEMU       bool              // written by qemu-img, with these options: the format's own writer knows none
	Options    []string          `json:",omitempty"`
	Compressed bool              `json:",omitempty"`
	IDs        map[string]string `json:",omitempty"` // identifiers of the disk, by which hypervisors know it
}

// Like is the format in which an image file is written anew, so that who uses it finds the same: of a qcow2 its version,
// the size of its clusters and whether they are compressed; of others the identifier of the disk. It refuses a file that
// holds more than a disk, which would be lost.
func Like(path string, i Image) (Format, error) {
	file, err := os.Open(path)
	if err != nil {
		return Format{}, err
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return Format{}, err
	}
	f := byName(i.Name)
	if f.Live {
		return Format{}, fmt.Errorf("%s is a medium of the format %s, which is made anew, and not changed in its place: write a new one with --output", path, i.Name)
	}
	k := kept{IDs: map[string]string{}}
	if f.keep != nil {
		if err := f.keep(candidate{ReaderAt: file, size: fi.Size()}, &k); err != nil {
			return Format{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	return f.with(k), nil
}

// with is the format as a file is written that keeps this.
func (f Format) with(k kept) Format {
	f.kept = &k
	if f.Name == "vhd-fixed" { // which may have any size, unless it is to be Azure's
		f.accepts = acceptVHD
	}
	if k.QEMU {
		f.pack, f.inPlace, f.options, f.compressed = nil, nil, k.Options, k.Compressed
	}
	return f
}

// MarshalText writes the format's name, and what a file of it keeps.
func (f Format) MarshalText() ([]byte, error) {
	if f.kept == nil {
		return []byte(f.Name), nil
	}
	text, err := json.Marshal(f.kept)
	return append([]byte(f.Name+" "), text...), err
}

// UnmarshalText reads what MarshalText writes, or nothing.
func (f *Format) UnmarshalText(text []byte) (err error) {
	*f = Format{}
	if len(text) == 0 {
		return nil
	}
	name, more, found := bytes.Cut(text, []byte(" "))
	if *f, err = Parse(string(name)); err != nil || !found {
		return err
	}
	var k kept
	if err := json.Unmarshal(more, &k); err != nil {
		return err
	}
	*f = f.with(k)
	return nil
}

func keepVHD(f candidate, k *kept) error {
	foot, err := readFooter(f, f.size-footerSize)
	k.IDs["vhd"] = hexGUID(foot.raw[68:84])
	return err
}

func keepVDI(f candidate, k *kept) error {
	var id [16]byte
	_, err := f.ReadAt(id[:], vdiCreated)
	k.IDs["vdi"] = disk.GUID(id)
	return err
}

func keepVHDX(f candidate, k *kept) error {
	v, err := readVHDX(f, f.size)
	if errors.Is(err, errVHDX) { // only qemu-img can read it, which says nothing of identifiers
		return nil
	}
	if err == nil && v.id != [16]byte{} {
		k.IDs["vhdx disk"] = disk.GUID(v.id)
	}
	return err
}

// hexGUID spells 16 bytes in their order.
func hexGUID(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// Features of a qcow2 (QEMU, docs/interop/qcow2.rst).
const (
	qcow2Dirty       = 1 << 0
	qcow2Corrupt     = 1 << 1
	qcow2External    = 1 << 2
	qcow2OtherCodec  = 1 << 3
	qcow2Extended    = 1 << 4
	qcow2Lazy        = 1 << 0 // a compatible one
	qcow2BitmapsType = 0x23852875
)

// keepQCOW2 keeps the version, the size of clusters, and how they are compressed, where any are. What our own writer
// makes by itself it makes.
func keepQCOW2(f candidate, k *kept) error {
	h := make([]byte, qcow2HeaderSize+8)
	if _, err := f.ReadAt(h, 0); err != nil && err != io.EOF {
		return err
	}
	u32, u64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	version, bits := u32(h[4:]), u32(h[20:])
	var incompatible, compatible uint64
	counts := uint32(4)
	if version >= 3 {
		incompatible, compatible, counts = u64(h[72:]), u64(h[80:]), u32(h[96:])
	}
	switch {
	case u64(h[8:]) != 0:
		return errors.New("this qcow2 holds only what differs from its backing file, and --in-place would make all of it part of the file: " +
			"write a new image with --output and --allow-backing-file, or merge it first (qemu-img rebase -b '', or commit)")
	case u32(h[60:]) != 0:
		return fmt.Errorf("this qcow2 has %d internal snapshots, which would be lost: delete them first (qemu-img snapshot -d), or write a new image with --output", u32(h[60:]))
	case u32(h[32:]) != 0:
		return errors.New("this qcow2 is encrypted")
	case incompatible&qcow2External != 0:
		return errors.New("this qcow2 has its data in another file, which --in-place would make part of it: write a new image with --output")
	case incompatible&^(qcow2Dirty|qcow2Corrupt|qcow2External|qcow2OtherCodec|qcow2Extended) != 0:
		return errors.New("this qcow2 has features that this program does not know, and cannot keep: write a new image with --output")
	case hasExtension(f, h, qcow2BitmapsType):
		return errors.New("this qcow2 has bitmaps of changes, for backups, which would be lost: remove them first (qemu-img bitmap --remove), or write a new image with --output")
	}
	extended := incompatible&qcow2Extended != 0
	compressed, err := hasCompressed(f, h, extended)
	if err != nil {
		return err
	}
	codec := "zlib"
	if incompatible&qcow2OtherCodec != 0 && h[104] == 1 {
		codec = "zstd"
	}
	if version == 3 && bits == qcow2Bits && counts == 4 && compatible&qcow2Lazy == 0 && !extended && !compressed {
		return nil
	}
	k.QEMU, k.Compressed = true, compressed
	k.Options = []string{fmt.Sprintf("cluster_size=%d", 1<<bits)}
	if version < 3 {
		k.Options = append(k.Options, "compat=0.10")
		return nil
	}
	k.Options = append(k.Options, "compat=1.1", fmt.Sprintf("refcount_bits=%d", 1<<counts), "compression_type="+codec)
	if compatible&qcow2Lazy != 0 {
		k.Options = append(k.Options, "lazy_refcounts=on")
	}
	if extended {
		k.Options = append(k.Options, "extended_l2=on")
	}
	return nil
}

// hasExtension tells whether a qcow2 has a header extension of a type.
func hasExtension(r io.ReaderAt, h []byte, wanted uint32) bool {
	at := int64(72)
	if binary.BigEndian.Uint32(h[4:]) >= 3 {
		at = int64(binary.BigEndian.Uint32(h[100:]))
	}
	const most = 100 // of some ten that there are
	for range most {
		var b [8]byte
		if _, err := r.ReadAt(b[:], at); err != nil {
			return false
		}
		switch binary.BigEndian.Uint32(b[:]) {
		case 0:
			return false
		case wanted:
			return true
		}
		at += 8 + (int64(binary.BigEndian.Uint32(b[4:]))+7)/8*8
	}
	return false
}

// hasCompressed tells whether a qcow2 has compressed clusters: those that do not get smaller never are.
func hasCompressed(f candidate, h []byte, extended bool) (bool, error) {
	entry, cluster := 8, int64(1)<<binary.BigEndian.Uint32(h[20:])
	if extended {
		entry = 16
	}
	first := make([]byte, 8*min(int64(binary.BigEndian.Uint32(h[36:])), 4<<20))
	if _, err := f.ReadAt(first, int64(binary.BigEndian.Uint64(h[40:]))); err != nil {
		return false, fmt.Errorf("read the first table of this qcow2: %w", err)
	}
	table := make([]byte, min(cluster, 2<<20))
	for ; len(first) > 0; first = first[8:] {
		at := int64(binary.BigEndian.Uint64(first) & qcow2Offset)
		if at == 0 {
			continue
		}
		if _, err := f.ReadAt(table, at); err != nil {
			return false, fmt.Errorf("read the table at byte %d of this qcow2: %w", at, err)
		}
		for t := table; len(t) >= entry; t = t[entry:] {
			if binary.BigEndian.Uint64(t)&qcow2Compressed != 0 {
				return true, nil
			}
		}
	}
	return false, nil
}

// OverlayOf is the path that a qcow2 names as its backing file, relative to the file's own directory where it is not
// absolute; empty where it names none, and for files of other formats.
func OverlayOf(path string, r io.ReaderAt) string {
	h := make([]byte, qcow2HeaderSize)
	if _, err := r.ReadAt(h, 0); err != nil && err != io.EOF || string(h[:4]) != qcow2Magic || backingAt(h) == 0 {
		return ""
	}
	name := make([]byte, min(1023, binary.BigEndian.Uint32(h[16:])))
	n, _ := r.ReadAt(name, backingAt(h))
	backing := string(name[:n])
	if text, is := strings.CutPrefix(backing, "json:"); is {
		var node struct {
			Filename string `json:"file.filename"`
			File     struct {
				Filename string `json:"filename"`
			} `json:"file"`
		}
		_ = json.Unmarshal([]byte(text), &node) // what cannot be read names no file
		backing = node.Filename + node.File.Filename
	}
	backing = strings.TrimPrefix(backing, "file:")
	if backing == "" || filepath.IsAbs(backing) {
		return backing
	}
	return filepath.Join(filepath.Dir(path), backing)
}
