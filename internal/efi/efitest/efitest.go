// Package efitest makes EFI programs for tests.
package efitest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
)

// Program is an EFI program for x86-64 with these sections, sorted by their names, which does nothing.
func Program(sections map[string][]byte) []byte { return WithGaps(0, sections) }

// WithGaps is Program with so many bytes before each section.
func WithGaps(gap int, sections map[string][]byte) []byte {
	const peHeader, headers, align, page = 0x3c, 0x400, 0x200, 0x1000
	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // to memory: it cannot fail
	up := func(n, to int) uint32 { return uint32((n + to - 1) / to * to) }
	b.WriteString("MZ")
	b.Write(make([]byte, peHeader-2))
	put(uint32(peHeader + 4))
	b.WriteString("PE\x00\x00")
	put([]uint16{0x8664, uint16(len(sections))})
	put([]uint32{0, 0, 0})
	put([]uint16{240, 0x0206, 0x20b, 0})
	put([]uint32{0, 0, 0, page, page, 0, 0, page, align, 0, 0, 0, 0, 0x10000000, headers, 0})
	put([]uint16{10, 0}) // an EFI application
	put([]uint64{0, 0, 0, 0})
	put([]uint32{0, 16})
	b.Write(make([]byte, 16*8))
	names, at, va := slices.Sorted(maps.Keys(sections)), uint32(headers+gap), uint32(page)
	for _, name := range names {
		n := len(sections[name])
		b.Write(append([]byte(name), make([]byte, 8-len(name))...))
		put([]uint32{uint32(n), va, up(n, align), at, 0, 0, 0, 0x40000040})
		at, va = at+up(n, align)+uint32(gap), va+up(max(n, 1), page)
	}
	b.Write(make([]byte, headers-b.Len()))
	for _, name := range names {
		b.Write(make([]byte, gap))
		b.Write(sections[name])
		b.Write(make([]byte, int(up(len(sections[name]), align))-len(sections[name])))
	}
	return b.Bytes()
}
