package efi

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Section is a section for a program that is put together.
type Section struct {
	Name   string // of at most 8 bytes
	Size   int64  // of its content, in bytes
	Data   io.Reader
	Memory int64  // bytes that it takes in memory, where that is more
	Flags  uint32 // as in its header; 0 for data that is only read
}

// Code are the flags of a section with code that nothing writes.
const Code = sectionCode | sectionRead

// Bytes is a section with this content.
func Bytes(name string, data []byte) Section {
	return Section{Name: name, Size: int64(len(data)), Data: bytes.NewReader(data)}
}

// Flags of sections.
const (
	sectionCode = 0x20
	sectionData = 0x40
	sectionRead = 0x40000000
)

// page is what a new section is aligned to at least: old stubs start the kernel where it lies.
const page = 0x1000

// Assembled is a program that is put together as it is read, once.
type Assembled struct {
	io.Reader
	Size int64 // of the program, in bytes
}

// Base is a program that others are made from.
type Base struct {
	*Image
	File io.ReaderAt // is read while what is made of it is read
}

// ReadBase reads the headers of a program that others are to be made from.
func ReadBase(file *io.SectionReader) (Base, error) {
	i, err := ReadImage(file, file.Size())
	return Base{i, file}, err
}

// First is the base with its first sections alone.
func (b Base) First(n int) Base {
	i := *b.Image
	i.Sections = i.Sections[:n]
	return Base{&i, b.File}
}

// With makes a program of the base and further sections behind its own, in one pass: the same input gives the same bytes.
// A section of a name in replaced gets another content, where it lies if there is room, and otherwise behind the others.
// Symbols and signatures of the base are left out, and so is whatever lies behind the last section of its file.
func (b Base) With(replaced map[string][]byte, sections []Section) (Assembled, error) {
	if err := b.fits(); err != nil {
		return Assembled{}, err
	}
	a := assembly{Base: b}
	sections = a.keep(replaced, sections)
	if err := a.place(sections); err != nil {
		return Assembled{}, err
	}
	return a.program(sections), nil
}

// keep notes the sections of the base, and returns the new ones with those whose new content has no room in them.
func (a *assembly) keep(replaced map[string][]byte, sections []Section) []Section {
	var large []Section
	for k, s := range a.Sections {
		data, is := replaced[s.Name]
		room := int64(1<<32 - 1)
		if k+1 < len(a.Sections) {
			room = int64(a.Sections[k+1].Address) - int64(s.Address)
		}
		switch {
		case !is:
			a.kept = append(a.kept, kept{s, io.NewSectionReader(a.File, int64(s.File.Start), int64(s.File.Size))})
		case int64(len(data)) <= room:
			s.Memory, s.File.Size = uint32(len(data)), uint32(len(data))
			a.kept = append(a.kept, kept{s, bytes.NewReader(data)})
		default:
			large = append(large, Bytes(s.Name, data))
		}
	}
	return append(large, sections...)
}

// fits tells whether sections can be put behind those of the program.
func (i *Image) fits() error {
	powerOf2 := func(n uint32) bool { return n > 0 && n&(n-1) == 0 }
	if !powerOf2(i.FileAlignment) || !powerOf2(i.SectionAlignment) || i.FileAlignment > 1<<16 || i.SectionAlignment > 1<<24 {
		return fmt.Errorf("its sections are aligned to %#x and %#x, which are not powers of 2", i.FileAlignment, i.SectionAlignment)
	}
	end := int64(0)
	for _, s := range i.Sections {
		if int64(s.Address) < end {
			return fmt.Errorf("its section %s lies in another one, or before it", s.Name)
		}
		end = s.end()
	}
	return nil
}

// assembly is a program with the places of its sections.
type assembly struct {
	Base
	kept  []kept         // of the base
	moved []ImageSection // the same, where they lie in the result, and the new ones
	size  int64          // of all headers
}

// kept is a section of the base, and what it holds in the result.
type kept struct {
	ImageSection
	data io.Reader
}

func align(n int64, to uint32) int64 { return (n + int64(to) - 1) / int64(to) * int64(to) }

// place finds the places of all sections.
func (a *assembly) place(sections []Section) error {
	fileAlign, memoryAlign := a.FileAlignment, max(a.SectionAlignment, page)
	headers := int64(a.at.table + (len(a.kept)+len(sections))*sectionHeaderSize)
	a.size = max(align(headers, fileAlign), int64(a.HeaderSize))
	file, memory := a.size, int64(0)
	add := func(s ImageSection, size int64) {
		s.File = Span{}
		if size > 0 {
			s.File = Span{uint32(file), uint32(align(size, fileAlign))}
		}
		file += align(size, fileAlign)
		a.moved = append(a.moved, s)
		memory = s.end()
	}
	for _, s := range a.kept {
		if len(a.moved) == 0 && int64(s.Address) < a.size {
			return fmt.Errorf("it has no room for %d more sections: its headers would reach to %#x, and its first section lies at %#x", len(sections), a.size, s.Address)
		}
		add(s.ImageSection, int64(s.File.Size))
	}
	for _, s := range sections {
		if len(s.Name) > 8 || s.Size == 0 {
			return fmt.Errorf("a section %q of %d bytes is none", s.Name, s.Size)
		}
		at := align(memory, memoryAlign)
		if size := max(s.Size, s.Memory); at+size > 1<<32-1 || file+size > 1<<32-1<<20 {
			return errors.New("it would be larger than the 4 GiB that an EFI program can have")
		}
		add(ImageSection{Name: s.Name, Address: uint32(at), Memory: uint32(max(s.Size, s.Memory)), Flags: s.flags()}, s.Size)
	}
	return nil
}

func (s Section) flags() uint32 { return cmp.Or(s.Flags, sectionData|sectionRead) }

// program is the result as it is read.
func (a *assembly) program(sections []Section) Assembled {
	parts := []io.Reader{bytes.NewReader(a.headers())}
	size := a.size
	add := func(r io.Reader, s ImageSection, n int64) {
		parts = append(parts, exactly(r, n), zeros(int64(s.File.Size)-n))
		size += int64(s.File.Size)
	}
	for k, s := range a.kept {
		add(s.data, a.moved[k], int64(s.File.Size))
	}
	for k, s := range sections {
		add(s.Data, a.moved[len(a.kept)+k], s.Size)
	}
	return Assembled{io.MultiReader(parts...), size}
}

// headers are those of the base, changed.
func (a *assembly) headers() []byte {
	head := make([]byte, a.size)
	copy(head, a.head[:a.at.table])
	at, put := a.at, func(at int, n int64) { binary.LittleEndian.PutUint32(head[at:], uint32(n)) }
	binary.LittleEndian.PutUint16(head[at.coff+2:], uint16(len(a.moved)))
	put(at.coff+8, 0) // symbols
	put(at.coff+12, 0)
	data, memory := int64(0), int64(0)
	for k, s := range a.moved {
		a.sectionHeader(head[at.table+k*sectionHeaderSize:], k)
		if s.Flags&sectionData != 0 {
			data += int64(s.File.Size)
		}
		memory = s.end()
	}
	put(at.optional+8, data)
	put(at.optional+56, align(memory, a.SectionAlignment))
	put(at.optional+60, a.size)
	put(at.optional+64, 0) // checksum, which firmware does not look at
	for _, d := range []int{certificateDirectory, debugDirectory} {
		if d := a.directory(d); d > 0 { // what says where something lies in the file
			put(d, 0)
			put(d+4, 0)
		}
	}
	return head
}

// sectionHeader writes the header of a section: that of the base with another place, or a new one.
func (a *assembly) sectionHeader(to []byte, k int) {
	s, put := a.moved[k], func(at int, n uint32) { binary.LittleEndian.PutUint32(to[at:], n) }
	copy(to[:8], s.Name)
	put(8, s.Memory)
	put(12, s.Address)
	put(16, s.File.Size)
	put(20, s.File.Start)
	put(36, s.Flags)
}

// exactly reads a number of bytes, and fails where there are fewer or more.
func exactly(r io.Reader, n int64) io.Reader { return &counted{r: r, left: n} }

type counted struct {
	r    io.Reader
	left int64
}

var errSize = errors.New("a part of the EFI program has another size than when it was opened: something is writing to it")

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 || errors.Is(err, io.EOF) && c.left > 0 {
		return 0, errSize
	}
	return n, err
}

func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
