// Package image opens disk images: it tells their format, copies them into a raw working disk, finds
// the root filesystem by its fstab, and mounts the tree.
package image

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
)

// Format is the kind of an image file. It is found out once; from then on programs are told it and
// never guess, because a guest can write a raw disk that looks like another format.
type Format struct {
	Name string // raw, vhd-fixed, vhd, vhdx, qcow2, or iso
	Size int64  // of the disk, in bytes
	Odd  bool   // QEMU cannot read the file; Convert can

	Backing bool `json:",omitempty"` // it refers to further files, as it may
}

// footerSize is the size of a VHD footer (Virtual Hard Disk Image Format Specification).
const footerSize = 512

// unsupported are formats known by their first bytes and not read by this program.
var unsupported = []struct{ magic, name string }{
	{"KDMV", "vmdk"},
	{"COWD", "vmdk"},
	{"# Disk Descriptor", "vmdk"},
	{"<<< ", "vdi"},
	{"QED\x00", "qed"},
	{"WithoutFreeSpace", "parallels"},
	{"WithouFreSpacExt", "parallels"},
	{"LUKS\xba\xbe", "luks"},
	{"\x1f\x8b", "gzip"},
	{"\xfd7zXZ\x00", "xz"},
	{"\x28\xb5\x2f\xfd", "zstd"},
	{"BZh", "bzip2"},
	{"PK\x03\x04", "zip"},
	{"cosi-marker\x00", "COSI"}, // a tar archive, whose first name this is
}

// Probe tells the format of an image file and checks that the file is whole, as far as its headers
// and tables say. A qcow2 that refers to further files is refused unless allowed.
func Probe(ctx context.Context, path string, allowBacking bool) (Format, error) {
	file, err := os.Open(path)
	if err != nil {
		return Format{}, err
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return Format{}, err
	}
	f, err := probe(file, fi.Size(), allowBacking)
	if err == nil && !f.plain() && !f.Odd {
		f.Size, err = f.check(ctx, path)
	}
	if err != nil {
		return Format{}, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func probe(r io.ReaderAt, size int64, allowBacking bool) (Format, error) {
	head := make([]byte, qcow2Header)
	if _, err := r.ReadAt(head, 0); err != nil {
		return Format{}, fmt.Errorf("the file has only %d bytes: it is no disk image", size)
	}
	for _, u := range unsupported {
		if strings.HasPrefix(string(head), u.magic) {
			return Format{}, fmt.Errorf("this is a %s file; images that can be read are raw, vhd, vhdx and qcow2", u.name)
		}
	}
	footer := make([]byte, footerSize)
	if _, err := r.ReadAt(footer, size-footerSize); err != nil {
		return Format{}, fmt.Errorf("the file has only %d bytes: it is no disk image", size)
	}
	const vhd = "conectix"
	switch {
	case isISO(r):
		return probeISO(r, size)
	case string(head[:4]) == "QFI\xfb":
		return Format{Name: "qcow2", Backing: allowBacking && refers(head)}, checkReferences(r, head, allowBacking)
	case string(head[:8]) == "vhdxfile":
		odd := OddVHDX(r, size)
		return Format{Name: "vhdx", Size: odd, Odd: odd > 0}, nil
	case string(footer[:8]) == vhd:
		return probeVHD(r, footer, size)
	case string(head[:8]) == vhd:
		return Format{}, fmt.Errorf("this VHD has lost its footer: %w", disk.ErrTruncated)
	case size%512 != 0:
		return Format{}, fmt.Errorf("a raw disk of %d bytes is not a whole number of 512-byte sectors: the file is truncated, or of a format this program does not know", size)
	}
	return Format{Name: "raw", Size: size}, checkTable(r, size)
}

// volumeAt is where an ISO image has its primary volume descriptor (ECMA-119, 8.4).
const volumeAt, volumeSector = 16 * 2048, 2048

// isISO tells whether the file is an ISO image. One for USB sticks has a partition table too.
func isISO(r io.ReaderAt) bool {
	mark := make([]byte, 6)
	_, err := r.ReadAt(mark, volumeAt)
	return err == nil && string(mark) == "\x01CD001"
}

func probeISO(r io.ReaderAt, size int64) (Format, error) {
	var sectors [4]byte
	if _, err := r.ReadAt(sectors[:], volumeAt+80); err != nil {
		return Format{}, err
	}
	if need := int64(binary.LittleEndian.Uint32(sectors[:])) * volumeSector; size < need {
		return Format{}, fmt.Errorf("this ISO image has %d bytes of %d: %w", size, need, disk.ErrTruncated)
	}
	return Format{Name: "iso", Size: size}, nil
}

// checkTable finds out whether a partition table says that the disk is larger. A disk with another
// fault in its table, or without one, can still be converted.
func checkTable(r io.ReaderAt, size int64) error {
	if _, err := disk.ReadTable(r, size); errors.Is(err, disk.ErrTruncated) {
		return err
	}
	return nil
}

// probeVHD reads the VHD footer at a file's end. QEMU cannot tell a fixed VHD from a raw image, and
// takes the size of some from their geometry, which rounds; current size is what they hold, whatever
// program made them.
func probeVHD(r io.ReaderAt, footer []byte, size int64) (Format, error) {
	sum := uint32(0)
	for i, b := range footer {
		if i < 64 || i >= 68 {
			sum += uint32(b)
		}
	}
	if ^sum != binary.BigEndian.Uint32(footer[64:]) {
		return Format{}, errors.New("the checksum of the VHD footer is wrong: the file is damaged")
	}
	const fixed, dynamic, differencing = 2, 3, 4
	current, data := int64(binary.BigEndian.Uint64(footer[48:])), size-footerSize
	if current <= 0 {
		return Format{}, errors.New("the VHD footer says that the disk has no byte, or more than any: the file is damaged")
	}
	switch kind := binary.BigEndian.Uint32(footer[60:]); {
	case kind == fixed && current == data:
		return Format{Name: "vhd-fixed", Size: current}, checkTable(r, current)
	case kind == fixed:
		return Format{}, fmt.Errorf("this fixed VHD says its disk has %d bytes but holds %d; write it again with the exact size (qemu-img: -o subformat=fixed,force_size=on)", current, data)
	case kind == dynamic:
		return Format{Name: "vhd", Size: current}, nil
	case kind == differencing:
		return Format{}, errors.New("this is a differencing VHD, which needs its parent; merge them first")
	default:
		return Format{}, fmt.Errorf("this VHD is of type %d, which does not exist: the file is damaged", kind)
	}
}

// qcow2Header is the size of a qcow2 header in bytes (docs/interop/qcow2.txt of QEMU).
const qcow2Header = 104

// checkReferences refuses a qcow2 that refers to further files: whoever made it could have any file
// of this host read. QEMU itself would open them when it is only asked about the image.
func checkReferences(r io.ReaderAt, head []byte, allowed bool) error {
	if allowed || !refers(head) {
		return nil
	}
	const refusal = "this image refers to a further %s, which is read too only with --allow-backing-file"
	if at := backingAt(head); at != 0 {
		name := make([]byte, min(1023, binary.BigEndian.Uint32(head[16:])))
		n, _ := r.ReadAt(name, at)
		return fmt.Errorf(refusal, fmt.Sprintf("file, %q", name[:n]))
	}
	return fmt.Errorf(refusal, "file that holds its data")
}

// backingAt is where a qcow2 has the name of the file it lies on; 0 if there is none.
func backingAt(head []byte) int64 { return int64(binary.BigEndian.Uint64(head[8:])) }

// refers tells whether a qcow2 refers to further files.
func refers(head []byte) bool {
	version, incompatible := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint64(head[72:])
	const externalData = 1 << 2
	return backingAt(head) != 0 || version >= 3 && incompatible&externalData != 0
}

// check has qemu-img look at the whole file, in time that goes with its tables, and returns the size
// of the disk. Converting a truncated qcow2 would succeed, with zeros for what is missing.
func (f Format) check(ctx context.Context, path string) (size int64, err error) {
	out, err := qemuImg("info", "-U", "--output=json", f.QEMU(path)).Reading(f.Files(path)...).Output(ctx)
	if err != nil {
		return 0, fmt.Errorf("this %s image cannot be read: %w", f.Name, err)
	}
	var info struct {
		Size int64 `json:"virtual-size"`
	}
	if err := json.Unmarshal([]byte(out), &info); err != nil {
		return 0, fmt.Errorf("qemu-img info: %w", err)
	}
	const leaks = 3 // exit status: space is lost, but no data
	if f.Name == "qcow2" {
		if err := qemuImg("check", "-U", "-q", f.QEMU(path)).Reading(f.Files(path)...).Run(ctx); err != nil && hostcmd.ExitStatus(err) != leaks {
			return 0, fmt.Errorf("this qcow2 image is damaged or truncated: %w", err)
		}
	}
	return info.Size, nil
}

func qemuImg(args ...string) *hostcmd.Cmd {
	c := hostcmd.New("qemu-img", args...)
	c.Quiet = true
	return c
}

// Files are what has to be readable for the image at path to be read: where it refers to further files, those
// may be anywhere.
func (f Format) Files(path string) []string {
	if f.Backing {
		return []string{"/"}
	}
	return []string{path}
}

// QEMU describes the file at path to QEMU programs, leaving nothing for them to guess.
func (f Format) QEMU(path string) string {
	file := map[string]any{"driver": "file", "filename": path}
	node := map[string]any{"driver": f.Name, "file": file}
	switch f.Name {
	case "qcow2":
		if !f.Backing {
			node["backing"] = nil // whatever the file says by now
		}
	case "vhd":
		node["driver"], node["force_size_calc"] = "vpc", "current_size"
	case "iso":
		node["driver"] = "raw"
	case "vhd-fixed":
		node = map[string]any{"driver": "raw", "size": f.Size, "file": file}
	}
	text, _ := json.Marshal(node) // plain strings and numbers
	return "json:" + string(text)
}

// plain tells whether the file begins with the disk's own bytes.
func (f Format) plain() bool { return f.Name == "raw" || f.Name == "vhd-fixed" || f.Name == "iso" }
