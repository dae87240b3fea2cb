// Package output writes the customized disk to the files a user asked for. An output appears under
// its name complete, synced and checked, or not at all.
package output

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// mib is 1 MiB, the unit of disk sizes.
const mib = 1 << 20

// Format is one way to write a disk image.
type Format struct {
	Live       bool     // not the disk but a live medium made from its files
	Network    bool     // a live medium to boot from over the network
	Folder     bool     // a folder, not a file; it is written as a tar archive, and unpacked when it gets its name
	Name       string   // as spelled on the command line and in the config
	Aliases    []string // other spellings
	Extensions []string // usual endings of file names; empty where another format owns them
	Shares     string   // the usual ending, where another format owns it
	About      string   // one line for people

	driver     string                   // QEMU's name; empty where qemu-img cannot write the format
	pack       packFunc                 // writes the format from a raw disk; nil where only qemu-img does
	inPlace    func(disk *os.File) bool // whether pack can turn this empty file, filled with a disk, into the format; nil if it cannot
	options    []string                 // QEMU creation options
	compressed bool                     // have qemu-img compress clusters

	identity Identity

	cosi *COSI // for the formats that are made of partitions, not of the disk as a whole

	accepts func(size int64, sector int) error // limits on the disk and its sectors; may be nil
	check   func(r io.ReaderAt, s sizes) error // the written file's own structures; may be nil
}

// formats is every format, in the order they are listed to people. force_size keeps QEMU from
// rounding a VHD up to a CHS geometry; VHDX blocks of 2 MiB keep small images small.
var formats = []Format{
	{
		Name: "raw", Extensions: []string{".raw", ".img"}, About: "plain bytes of the disk, sparse",
		driver: "raw", inPlace: always, check: checkRaw,
	},
	{
		Name: "raw.zst", Aliases: []string{"raw-zst"}, Extensions: []string{".raw.zst", ".img.zst"},
		About: "plain bytes of the disk, zstd compressed", check: checkMagic("\x28\xb5\x2f\xfd"),
	},
	{
		Name: "qcow2", Extensions: []string{".qcow2"}, About: "QEMU copy on write",
		driver: "qcow2", pack: writeQCOW2, inPlace: folds, check: checkMagic("QFI\xfb"),
	},
	{
		Name: "qcow2-zstd", Shares: ".qcow2", About: "QEMU copy on write, clusters compressed with zstd (QEMU 5.1 or newer)",
		driver: "qcow2", options: []string{"compression_type=zstd"}, compressed: true, check: checkMagic("QFI\xfb"),
	},
	{
		Name: "vhd", Extensions: []string{".vhd"}, About: "Virtual PC, dynamic",
		driver: "vpc", options: []string{"subformat=dynamic", "force_size=on"}, accepts: acceptVHD, check: checkVHD,
	},
	{
		Name: "vhd-fixed", Shares: ".vhd", About: "Virtual PC, fixed size: what Azure takes",
		driver: "vpc", pack: writeFixedVHD, inPlace: always, options: []string{"subformat=fixed", "force_size=on"}, accepts: acceptFixedVHD, check: checkFixedVHD,
	},
	{
		Name: "vhdx", Extensions: []string{".vhdx"}, About: "Hyper-V",
		driver: "vhdx", pack: writeVHDX, inPlace: folds, options: []string{"block_size=2097152"}, accepts: acceptVHDX, check: checkMagic("vhdxfile"),
	},
	{
		Name: "cosi", Extensions: []string{".cosi"}, About: "Composable OS Image: compressed partitions, filesystems shrunk, and a description",
		cosi: &COSI{Level: usualLevel, windowLog: 27}, check: checkMagic("cosi-marker"),
	},
	{
		Name: "baremetal-image", Shares: ".vhd", About: "COSI at the highest compression, with the footer of a fixed VHD",
		cosi: &COSI{Level: 22, windowLog: 31, vhd: true}, check: checkBaremetal,
	},
	{
		Name: "iso", Extensions: []string{".iso"}, About: "LiveOS: runs the system from a CD or a USB stick, with UEFI and BIOS",
		Live: true, check: checkISO,
	},
	{
		Name: "pxe-dir", About: "folder of what a TFTP server offers to boot the system over the network",
		Live: true, Network: true, Folder: true, check: checkTar,
	},
	{
		Name: "pxe-tar", Extensions: []string{".tar.gz"}, About: "the same as a compressed tar archive",
		Live: true, Network: true, check: checkMagic("\x1f\x8b"),
	},
}

func always(*os.File) bool { return true }

// Formats lists all formats.
func Formats() []Format { return append([]Format(nil), formats...) }

// Names lists the formats as a user spells them.
func Names() []string {
	var names []string
	for _, f := range formats {
		names = append(names, f.Name)
	}
	return names
}

// String is the format's name.
func (f Format) String() string { return f.Name }

// MarshalText writes the format's name.
func (f Format) MarshalText() ([]byte, error) { return []byte(f.Name), nil }

// UnmarshalText reads a name of a format, or none.
func (f *Format) UnmarshalText(name []byte) (err error) {
	if *f = (Format{}); len(name) > 0 {
		*f, err = Parse(string(name))
	}
	return err
}

// Compressed tells whether the content is compressed.
func (f Format) Compressed() bool { return f.compressed || f.driver == "" }

// IsRaw tells whether the file is the disk itself, byte for byte.
func (f Format) IsRaw() bool { return f.driver == "raw" }

// InPlace tells whether Become can make an output of the format of the disk that an empty file will hold.
func (f Format) InPlace(file *os.File) bool { return f.inPlace != nil && f.inPlace(file) }

// InParts tells whether the format is made of a disk's partitions, by COSI, and shrinks its filesystems.
func (f Format) InParts() bool { return f.cosi != nil }

// Accepts tells whether the format can hold a disk of this size in bytes, with sectors that large, before
// anything is written.
func (f Format) Accepts(size int64, sector int) error {
	if size <= 0 || size%512 != 0 {
		return fmt.Errorf("a disk of %d bytes is not a whole number of 512-byte sectors", size)
	}
	if f.accepts == nil {
		return nil
	}
	return f.accepts(size, sector)
}

// Parse returns the format of that name. The error lists the formats there are.
func Parse(name string) (Format, error) {
	for _, f := range formats {
		for _, n := range append([]string{f.Name}, f.Aliases...) {
			if n == name {
				return f, nil
			}
		}
	}
	hint := ""
	if near := nearest(name); near != "" {
		hint = fmt.Sprintf("did you mean %q? ", near)
	}
	return Format{}, fmt.Errorf("unknown output format %q: %sallowed are %s", name, hint, strings.Join(Names(), ", "))
}

// FromPath returns the format that a file name's ending usually means.
func FromPath(path string) (Format, error) {
	name := strings.ToLower(filepath.Base(path))
	for _, f := range formats {
		for _, e := range f.Extensions {
			if strings.HasSuffix(name, e) {
				return f, nil
			}
		}
	}
	return Format{}, fmt.Errorf("cannot tell the output format from the file name %q: give --output-image-format too, one of %s", name, strings.Join(Names(), ", "))
}

// Contradicts tells whether the ending of a file's name usually means another format, and which.
func (f Format) Contradicts(path string) (Format, bool) {
	usual, err := FromPath(path)
	if err != nil || usual.Name == f.Name {
		return Format{}, false
	}
	return usual, f.Shares == "" || !strings.HasSuffix(strings.ToLower(path), f.Shares)
}

// nearest is the known spelling that differs from name in a third of its letters at most, or empty.
func nearest(name string) string {
	best, least := "", 1+max(1, len(name)/3)
	for _, f := range formats {
		for _, n := range append([]string{f.Name}, f.Aliases...) {
			if d := distance(strings.ToLower(name), n); d < least {
				best, least = f.Name, d
			}
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
