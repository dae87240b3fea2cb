package diskformat

import (
	"encoding/binary"
	"fmt"
	"io"

	"imagecustomizer/internal/disk"
)

// Live media and what is booted from over the network are made from the files of a system.
var (
	iso = Format{
		Name: "iso", Extensions: []string{".iso"}, About: "LiveOS: runs the system from a CD or a USB stick, with UEFI and BIOS",
		Live: true, compressed: true, driver: "raw", mark: mark{volumeAt, isoMark}, plain: true, probe: probeISO, check: checkISO,
	}
	pxeDir = Format{
		Name: "pxe-dir", About: "folder of what a TFTP server offers to boot the system over the network",
		Live: true, Network: true, Folder: true, compressed: true, check: checkTar,
	}
	pxeTar = Format{
		Name: "pxe-tar", Extensions: []string{".tar.gz"}, About: "the same as a compressed tar archive",
		Live: true, Network: true, compressed: true, check: checkMagic("\x1f\x8b"),
	}
)

// volumeAt is where an ISO image has its primary volume descriptor (ECMA-119, 8.4).
const (
	volumeAt     = 16 * 2048
	volumeSector = 2048
	isoMark      = "\x01CD001"
)

// volumeSize is the size in bytes that an ISO image's volume descriptor says.
func volumeSize(r io.ReaderAt) (int64, error) {
	var sectors [4]byte
	_, err := r.ReadAt(sectors[:], volumeAt+80)
	return int64(binary.LittleEndian.Uint32(sectors[:])) * volumeSector, err
}

// probeISO reads what may be a disk too: one for USB sticks has a partition table.
func probeISO(f candidate) (Image, error) {
	need, err := volumeSize(f)
	if err == nil && f.size < need {
		err = fmt.Errorf("this ISO image has %d bytes of %d: %w", f.size, need, disk.ErrTruncated)
	}
	return Image{Size: f.size}, err
}

// checkISO looks for the primary volume descriptor, whose size the file must have.
func checkISO(r io.ReaderAt, s sizes) error {
	var d [6]byte
	if _, err := r.ReadAt(d[:], volumeAt); err != nil {
		return fmt.Errorf("cannot read the volume descriptor: %w", err)
	}
	if string(d[:]) != isoMark {
		return fmt.Errorf("the volume descriptor begins with %q", d)
	}
	need, err := volumeSize(r)
	if err == nil && s.file < need {
		err = fmt.Errorf("the file has %d bytes, the volume %d", s.file, need)
	}
	return err
}

// checkTar looks for the mark in the first header (POSIX ustar).
func checkTar(r io.ReaderAt, _ sizes) error {
	const at = 257
	got := make([]byte, 5)
	if _, err := r.ReadAt(got, at); err != nil {
		return fmt.Errorf("cannot read the first header of the archive: %w", err)
	}
	if string(got) != "ustar" {
		return fmt.Errorf("the archive's first header has the mark %q", got)
	}
	return nil
}
