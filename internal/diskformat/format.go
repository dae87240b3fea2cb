// Package diskformat knows the formats of disk images: how one is told, read, written, checked and handed to QEMU.
// Each has a file of its own and a line in the table, which inputs, outputs and booting share.
package diskformat

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Format is a format of disk images.
type Format struct {
	Live       bool     // not the disk but a live medium made from its files
	Network    bool     // a live medium to boot from over the network
	Folder     bool     // a folder, not a file; it is written as a tar archive, and unpacked when it gets its name
	Parts      bool     // made of a disk's partitions, whose filesystems are shrunk
	Name       string   // as spelled on the command line and in the config
	Aliases    []string // other spellings
	Extensions []string // usual endings of file names; empty where another format owns them
	Shares     string   // the usual ending, where another format owns it
	About      string   // one line for people

	driver     string // QEMU's name; empty where QEMU does not know the format
	compressed bool   // the content is compressed

	// Reading. A format without probe is not read, or told by what another finds.
	mark  mark                                                                 // what tells it from others
	probe func(f candidate) (Image, error)                                     // looks into a file with the mark
	plain bool                                                                 // the file begins with the disk's own bytes
	open  func(ctx context.Context, r io.ReaderAt, file int64) (layout, error) // finds where the data lies; nil where only QEMU can
	node  func(i Image, node map[string]any)                                   // what QEMU must know besides the driver; may be nil
	whole bool                                                                 // QEMU can check its tables

	// Writing.
	pack    packFunc                             // writes the format from a raw disk; nil where only qemu-img does
	inPlace func(disk *os.File) bool             // whether pack can turn this empty file, filled with a disk, into the format; nil if it cannot
	options []string                             // qemu-img's when it creates a file
	stamp   func(name string, id Identity) error // gives a file that qemu-img wrote its identity; may be nil
	accepts func(size int64, sector int) error   // limits on the disk and its sectors; may be nil
	check   func(r io.ReaderAt, s sizes) error   // the written file's own structures; nil if it is never written

	identity Identity

	keep func(f candidate, k *kept) error // finds what a file keeps that takes the place of this one; may be nil
	kept *kept
}

// formats is every format, in the order they are listed to people.
var formats = []Format{
	raw, rawZstd, qcow2, qcow2Zstd, vhd, vhdFixed, vhdx, vdi, cosi, baremetal, iso, pxeDir, pxeTar,
}

// byName is the format with that name, which an image that was found has.
func byName(name string) Format {
	f, _ := Parse(name)
	return f
}

// bootable tells whether QEMU boots images of the format.
func (f Format) bootable() bool { return f.driver != "" && (f.probe != nil || f.plain) }

// Bootable lists the formats of images that QEMU boots, for people.
func Bootable() string { return list("or", Format.bootable) }

// Driver is QEMU's name of a format of images that it boots.
func Driver(name string) (driver string, ok bool) {
	f := byName(name)
	return f.driver, f.bootable()
}

// list names the formats that are wanted, with a word before the last.
func list(word string, wanted func(Format) bool) string {
	var names []string
	for _, f := range formats {
		if wanted(f) {
			names = append(names, f.Name)
		}
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " " + word + " " + names[last]
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

// Convertible lists the formats that an image can be written in as it is: live media are made of a system, not of a disk.
func Convertible() (names []string) {
	for _, f := range formats {
		if !f.Live {
			names = append(names, f.Name)
		}
	}
	return names
}

// String is the format's name.
func (f Format) String() string { return f.Name }

// Compressed tells whether the content is compressed.
func (f Format) Compressed() bool { return f.compressed }

// IsRaw tells whether the file is the disk itself, byte for byte.
func (f Format) IsRaw() bool { return f.Name == "raw" }

// InPlace tells whether Become can make an output of the format of the disk that an empty file will hold.
func (f Format) InPlace(file *os.File) bool { return f.inPlace != nil && f.inPlace(file) }

// InParts tells whether the format is made of a disk's partitions, and shrinks their filesystems.
func (f Format) InParts() bool { return f.Parts }

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
