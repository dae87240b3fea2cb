package output

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// sizes are those of a written file and of the disk in it, in bytes.
type sizes struct{ file, disk int64 }

// vhdMax is the largest disk a dynamic VHD can hold: 2040 GiB.
const vhdMax = 2040 << 30

func acceptVHD(size int64, sector int) error {
	switch {
	case size > vhdMax:
		return fmt.Errorf("a VHD holds at most 2040 GiB and the disk has %d bytes: use vhdx", size)
	case sector != 512:
		return fmt.Errorf("the partition table of the disk counts sectors of %d bytes and a VHD has sectors of 512: firmware would find no partitions; use vhdx", sector)
	}
	return nil
}

// acceptVHDX refuses what has a sector too many to count.
func acceptVHDX(size int64, sector int) error {
	if size%int64(sector) != 0 {
		return fmt.Errorf("the disk has %d bytes, which is no whole number of its sectors of %d bytes", size, sector)
	}
	return nil
}

func acceptFixedVHD(size int64, sector int) error {
	if size%mib != 0 {
		return fmt.Errorf("a vhd-fixed disk must be a whole number of MiB and this one has %d bytes (%d MiB and %d bytes): "+
			"make the disk %d MiB, or write vhd or vhdx", size, size/mib, size%mib, size/mib+1)
	}
	return acceptVHD(size, sector)
}

func checkRaw(_ io.ReaderAt, s sizes) error {
	if s.file != s.disk {
		return fmt.Errorf("the file has %d bytes, the disk %d", s.file, s.disk)
	}
	return nil
}

func checkMagic(magic string) func(io.ReaderAt, sizes) error {
	return func(r io.ReaderAt, _ sizes) error {
		got := make([]byte, len(magic))
		if _, err := r.ReadAt(got, 0); err != nil {
			return fmt.Errorf("cannot read the file's first bytes: %w", err)
		}
		if string(got) != magic {
			return fmt.Errorf("the file begins with %q, not %q", got, magic)
		}
		return nil
	}
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

// checkISO looks for the primary volume descriptor (ECMA-119, 8.4), whose size the file must have.
func checkISO(r io.ReaderAt, s sizes) error {
	const at, sector = 16 * 2048, 2048
	var d [sector]byte
	if _, err := r.ReadAt(d[:], at); err != nil {
		return fmt.Errorf("cannot read the volume descriptor: %w", err)
	}
	if string(d[1:6]) != "CD001" || d[0] != 1 {
		return fmt.Errorf("the volume descriptor begins with %q", d[:6])
	}
	if need := int64(binary.LittleEndian.Uint32(d[80:])) * sector; s.file < need {
		return fmt.Errorf("the file has %d bytes, the volume %d", s.file, need)
	}
	return nil
}

// checkVHD checks a dynamic VHD: the footer at the end and its copy at the start.
func checkVHD(r io.ReaderAt, s sizes) error {
	end, err := readFooter(r, s.file-footerSize)
	if err != nil {
		return err
	}
	start, err := readFooter(r, 0)
	if err != nil {
		return err
	}
	if !bytes.Equal(start.raw[:], end.raw[:]) {
		return fmt.Errorf("the VHD's footer and its copy differ")
	}
	return end.check(s.disk, diskDynamic)
}

// checkFixedVHD checks a fixed VHD: the disk's bytes, then the footer.
func checkFixedVHD(r io.ReaderAt, s sizes) error {
	if s.file != s.disk+footerSize {
		return fmt.Errorf("the file has %d bytes, the disk and its footer %d", s.file, s.disk+footerSize)
	}
	f, err := readFooter(r, s.disk)
	if err != nil {
		return err
	}
	return f.check(s.disk, diskFixed)
}

// checkBaremetal checks a COSI that is the content of a fixed VHD.
func checkBaremetal(r io.ReaderAt, s sizes) error {
	if err := checkMagic("cosi-marker")(r, s); err != nil {
		return err
	}
	return checkFixedVHD(r, sizes{file: s.file, disk: s.file - footerSize})
}

// The layout of a VHD footer, all numbers big endian: Microsoft's "Virtual Hard Disk Image Format
// Specification", "Hard Disk Footer Format".
const (
	footerSize     = 512
	footerCookie   = "conectix"
	atCreator      = 28
	atCurrentSize  = 48
	atDiskType     = 60
	atChecksum     = 64
	diskFixed      = 2
	diskDynamic    = 3
	checksumLength = 4
)

// footer is the 512 bytes that end a VHD.
type footer struct{ raw [footerSize]byte }

func readFooter(r io.ReaderAt, at int64) (footer, error) {
	var f footer
	if _, err := r.ReadAt(f.raw[:], at); err != nil {
		return f, fmt.Errorf("cannot read the VHD footer at byte %d: %w", at, err)
	}
	if c := f.raw[:len(footerCookie)]; string(c) != footerCookie {
		return f, fmt.Errorf("no VHD footer at byte %d: it begins with %q", at, c)
	}
	return f, nil
}

// check compares the footer with what it must say. Readers take the size from the CHS geometry,
// which cannot express every size, where the creator is one of the three named here.
func (f footer) check(size int64, diskType uint32) error {
	if got, want := binary.BigEndian.Uint32(f.raw[atChecksum:]), f.checksum(); got != want {
		return fmt.Errorf("the VHD footer's checksum is %#x, not %#x", got, want)
	}
	if got := binary.BigEndian.Uint64(f.raw[atCurrentSize:]); got != uint64(size) {
		return fmt.Errorf("the VHD footer says %d bytes, the disk has %d", got, size)
	}
	if got := binary.BigEndian.Uint32(f.raw[atDiskType:]); got != diskType {
		return fmt.Errorf("the VHD footer says disk type %d, not %d", got, diskType)
	}
	switch creator := string(f.raw[atCreator : atCreator+4]); creator {
	case "vpc ", "vs  ", "qemu":
		return fmt.Errorf("the VHD footer names the creator %q: readers would compute the size from the disk's geometry", creator)
	}
	return nil
}

// checksum is the complement of the sum of all bytes but those of the checksum itself.
func (f footer) checksum() uint32 {
	var sum uint32
	for i, b := range f.raw {
		if i < atChecksum || i >= atChecksum+checksumLength {
			sum += uint32(b)
		}
	}
	return ^sum
}
