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

	"imagecustomizer/internal/hostcmd"
)

// Format is the kind of an image file. It is found out once; from then on programs are told it and
// never guess, because a guest can write a raw disk that looks like another format.
type Format struct {
	Name string // raw, vhd-fixed, vhd, vhdx or qcow2
	Size int64  // of the disk, in bytes
}

// footerSize is the size of a VHD footer (Virtual Hard Disk Image Format Specification).
const footerSize = 512

// unsupported are formats known by their first bytes and not read by this program.
var unsupported = map[string]string{"KDMV": "vmdk", "# Disk": "vmdk", "<<< Or": "vdi", "conectix-parent": "differencing vhd"}

// Probe tells the format of an image file and checks that the file is whole, as far as its headers
// say. A qcow2 that refers to further files is refused unless allowed.
func Probe(ctx context.Context, path string, allowBacking bool) (Format, error) {
	f, err := os.Open(path)
	if err != nil {
		return Format{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return Format{}, err
	}
	format, err := probe(ctx, f, fi.Size(), path, allowBacking)
	if err != nil {
		return Format{}, fmt.Errorf("%s: %w", path, err)
	}
	return format, nil
}

func probe(ctx context.Context, r io.ReaderAt, size int64, path string, allowBacking bool) (Format, error) {
	head := make([]byte, 16)
	if n, _ := r.ReadAt(head, 0); n < len(head) || size < footerSize {
		return Format{}, fmt.Errorf("the file has only %d bytes: it is no disk image", size)
	}
	for magic, name := range unsupported {
		if string(head[:len(magic)]) == magic {
			return Format{}, fmt.Errorf("this is a %s image; raw, vhd, vhdx and qcow2 can be read", name)
		}
	}
	switch {
	case string(head[:4]) == "QFI\xfb":
		return probeQEMU(ctx, "qcow2", path, allowBacking)
	case string(head[:8]) == "vhdxfile":
		return probeQEMU(ctx, "vhdx", path, allowBacking)
	}
	return probeVHD(r, size, string(head[:8]) == "conectix")
}

// probeVHD reads the VHD footer at the file's end; a file without one is raw. QEMU cannot tell a
// fixed VHD from a raw image, and takes a dynamic one's size from its geometry.
func probeVHD(r io.ReaderAt, size int64, dynamic bool) (Format, error) {
	footer := make([]byte, footerSize)
	if _, err := r.ReadAt(footer, size-footerSize); err != nil {
		return Format{}, err
	}
	if string(footer[:8]) != "conectix" {
		if dynamic {
			return Format{}, errors.New("this VHD has lost its footer: the file is truncated")
		}
		if size%512 != 0 {
			return Format{}, fmt.Errorf("a raw disk of %d bytes is not a whole number of 512-byte sectors: the file is truncated, or of a format this program does not know", size)
		}
		return Format{Name: "raw", Size: size}, nil
	}
	sum := uint32(0)
	for i, b := range footer {
		if i < 64 || i >= 68 {
			sum += uint32(b)
		}
	}
	current := int64(binary.BigEndian.Uint64(footer[48:]))
	switch kind := binary.BigEndian.Uint32(footer[60:]); {
	case ^sum != binary.BigEndian.Uint32(footer[64:]):
		return Format{}, errors.New("the checksum of the VHD footer is wrong: the file is damaged")
	case kind == 2 && current != size-footerSize:
		return Format{}, fmt.Errorf("this fixed VHD says its disk has %d bytes but holds %d; write it again with the exact size (qemu-img: -o subformat=fixed,force_size=on)", current, size-footerSize)
	case kind == 2:
		return Format{Name: "vhd-fixed", Size: current}, nil
	case kind == 3:
		return Format{Name: "vhd", Size: current}, nil
	default:
		return Format{}, fmt.Errorf("this is a differencing VHD (type %d), which needs its parent; merge them first", kind)
	}
}

// probeQEMU asks qemu-img about a file whose format is known.
func probeQEMU(ctx context.Context, driver, path string, allowBacking bool) (Format, error) {
	c := hostcmd.New("qemu-img", "info", "--output=json", "-f", driver, "-U", path)
	c.Quiet = true
	out, err := c.Output(ctx)
	if err != nil {
		return Format{}, fmt.Errorf("this %s image cannot be read: %w", driver, err)
	}
	var info struct {
		Size     int64  `json:"virtual-size"`
		Backing  string `json:"backing-filename"`
		Specific struct {
			Data struct {
				DataFile string `json:"data-file"`
			} `json:"data"`
		} `json:"format-specific"`
	}
	if err := json.Unmarshal([]byte(out), &info); err != nil {
		return Format{}, fmt.Errorf("qemu-img info: %w", err)
	}
	for what, name := range map[string]string{"backing": info.Backing, "data": info.Specific.Data.DataFile} {
		if name != "" && !allowBacking {
			return Format{}, fmt.Errorf("this image refers to a further %s file, %s, which is read too only with --allow-backing-file", what, name)
		}
	}
	return Format{Name: driver, Size: info.Size}, nil
}

// QEMU describes the file at path to QEMU programs, leaving nothing for them to guess.
func (f Format) QEMU(path string) string {
	file := map[string]any{"driver": "file", "filename": path}
	node := map[string]any{"driver": f.Name, "file": file}
	switch f.Name {
	case "vhd":
		node["driver"], node["force_size_calc"] = "vpc", "current_size"
	case "vhd-fixed":
		node = map[string]any{"driver": "raw", "size": f.Size, "file": file}
	}
	text, _ := json.Marshal(node) // plain strings and numbers
	return "json:" + string(text)
}

// plain tells whether the file begins with the disk's own bytes.
func (f Format) plain() bool { return f.Name == "raw" || f.Name == "vhd-fixed" }
