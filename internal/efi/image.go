package efi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Image is how an EFI program lies in its file: the headers of a PE file ("PE Format", Microsoft), in
// the two forms that firmware loads.
type Image struct {
	Machine                         uint16 // of its code
	FileAlignment, SectionAlignment uint32
	HeaderSize                      uint32 // of all headers, as the file says it
	MemorySize                      uint32 // of the program once it is loaded, SizeOfImage
	Sections                        []ImageSection
	Certificates                    Span // of the certificate table, in the file; empty where the program is not signed
	Symbols                         Span // of the symbol table, in the file, without the names behind it

	head []byte // the file up to the end of the section headers
	at   offsets
}

// ImageSection is one section of a program.
type ImageSection struct {
	Name            string
	Address, Memory uint32 // where it lies in memory, and how many bytes of it have a meaning
	File            Span   // where its content lies in the file
	Flags           uint32
}

// Span is a part of a file, in bytes.
type Span struct{ Start, Size uint32 }

// End is where the part ends.
func (s Span) End() int64 { return int64(s.Start) + int64(s.Size) }

// offsets are where things lie in the headers.
type offsets struct{ coff, optional, directories, table int }

// Sizes and places of the headers.
const (
	coffSize          = 24 // with the signature before it
	sectionHeaderSize = 40
	maxHeaders        = 1 << 20
	symbolSize        = 18
)

// Directories of a PE file.
const (
	certificateDirectory = 4
	debugDirectory       = 6
)

// ReadImage reads the headers of a program in a file of a size.
func ReadImage(r io.ReaderAt, size int64) (*Image, error) {
	i := &Image{}
	head := make([]byte, min(size, maxHeaders))
	if n, err := r.ReadAt(head, 0); err != nil && n < len(head) {
		return nil, fmt.Errorf("read its headers: %w", err)
	}
	i.head = head
	if err := i.locate(); err != nil {
		return nil, err
	}
	return i, i.read(size)
}

var errNoProgram = errors.New("it is no EFI program")

// locate finds the headers.
func (i *Image) locate() error {
	h := i.head
	if len(h) < 0x40 || string(h[:2]) != "MZ" {
		return errNoProgram
	}
	start := int(binary.LittleEndian.Uint32(h[0x3c:]))
	if start < 0x40 || start > len(h)-coffSize-2 || string(h[start:start+4]) != "PE\x00\x00" {
		return errNoProgram
	}
	at := offsets{coff: start + 4, optional: start + coffSize}
	switch binary.LittleEndian.Uint16(h[at.optional:]) {
	case 0x10b:
		at.directories = at.optional + 96
	case 0x20b:
		at.directories = at.optional + 112
	default:
		return errNoProgram
	}
	at.table = at.optional + int(binary.LittleEndian.Uint16(h[at.coff+16:]))
	if at.table < at.directories || at.table > len(h) {
		return errors.New("its headers do not hold what they say")
	}
	i.at = at
	return nil
}

func (i *Image) u16(at int) uint16 { return binary.LittleEndian.Uint16(i.head[at:]) }
func (i *Image) u32(at int) uint32 { return binary.LittleEndian.Uint32(i.head[at:]) }

// directory is where an entry of the data directories lies; 0 where there is none.
func (i *Image) directory(n int) int {
	if at := i.at.directories + 8*n; uint32(n) < i.u32(i.at.directories-4) && at+8 <= i.at.table {
		return at
	}
	return 0
}

func (i *Image) read(size int64) error {
	o := i.at.optional
	i.Machine = i.u16(i.at.coff)
	i.SectionAlignment, i.FileAlignment = i.u32(o+32), i.u32(o+36)
	i.MemorySize, i.HeaderSize = i.u32(o+56), i.u32(o+60)
	i.Symbols = Span{i.u32(i.at.coff + 8), i.u32(i.at.coff+12) * symbolSize}
	if d := i.directory(certificateDirectory); d > 0 {
		i.Certificates = Span{i.u32(d), i.u32(d + 4)}
	}
	n := int(i.u16(i.at.coff + 2))
	if i.at.table+n*sectionHeaderSize > len(i.head) {
		return errors.New("its headers do not hold the sections that they say")
	}
	for k := range n {
		s := i.section(i.at.table + k*sectionHeaderSize)
		if s.File.Size > 0 && s.File.End() > size {
			return fmt.Errorf("its section %s lies behind the end of the file", s.Name)
		}
		i.Sections = append(i.Sections, s)
	}
	i.head = i.head[:i.at.table+n*sectionHeaderSize]
	return nil
}

func (i *Image) section(at int) ImageSection {
	name, _, _ := strings.Cut(string(i.head[at:at+8]), "\x00")
	return ImageSection{
		Name: name, Memory: i.u32(at + 8), Address: i.u32(at + 12),
		File: Span{i.u32(at + 20), i.u32(at + 16)}, Flags: i.u32(at + 36),
	}
}

// Size is the number of bytes of a section that mean something and lie in the file.
func (s ImageSection) Size() int64 {
	if s.Memory == 0 {
		return int64(s.File.Size)
	}
	return int64(min(s.Memory, s.File.Size))
}

// end is where the section ends in memory.
func (s ImageSection) end() int64 {
	if s.Memory == 0 {
		return int64(s.Address) + int64(s.File.Size)
	}
	return int64(s.Address) + int64(s.Memory)
}

// Content is what a section holds.
func (s ImageSection) Content(r io.ReaderAt) *io.SectionReader {
	return io.NewSectionReader(r, int64(s.File.Start), s.Size())
}

// Find returns the sections of a name, in their order.
func (i *Image) Find(name string) []ImageSection {
	return slices.DeleteFunc(slices.Clone(i.Sections), func(s ImageSection) bool { return s.Name != name })
}

// Problems are what keeps firmware from loading a program of a file of a size, or what a signature would not cover.
func (i *Image) Problems(size int64) (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	memory, file := int64(i.HeaderSize), int64(i.HeaderSize)
	for _, s := range i.Sections {
		switch {
		case int64(s.Address) < memory:
			add("its section %s lies over what comes before it in memory", s.Name)
		case s.File.Size > 0 && int64(s.File.Start) < file:
			add("its section %s lies over what comes before it in the file", s.Name)
		case i.FileAlignment > 0 && s.File.Start%i.FileAlignment != 0:
			add("its section %s is not aligned in the file", s.Name)
		}
		memory, file = max(memory, s.end()), max(file, s.File.End())
	}
	if memory > int64(i.MemorySize) {
		add("its sections reach to %#x in memory, and it says that it takes %#x", memory, i.MemorySize)
	}
	if c := i.Certificates; c.Size > 0 {
		switch {
		case c.Start%8 != 0 || int64(c.Start) < file:
			add("its signatures are not where they must be, behind all sections at a multiple of 8 bytes")
		case c.End() != size:
			add("its signatures do not end where the file does")
		}
	}
	return list
}
