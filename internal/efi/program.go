// Package efi reads EFI programs.
package efi

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"io"
	"strings"
)

// Program is what an EFI program says of itself.
type Program struct {
	Machine uint16 // of its code, as in a PE header
	Shim    bool   // or one of the programs that belong to it
	// VendorKeys tells whether it has keys of its own to check others with, as shim itself has.
	VendorKeys bool
	Linux      bool  // a kernel that firmware can start
	GRUB       *GRUB // nil for other programs
	SBAT       []SBAT
	Loader     string // what a program of systemd's says of itself, such as "systemd-boot 257"
	Addon      bool   // for unified kernel images, of systemd's making
	// Of a unified kernel image:
	Cmdline    string
	HasCmdline bool
	Version    string            // of the kernel, where the image says it
	OSRelease  string            // the system's os-release(5)
	Kernel     *io.SectionReader // nil without
	HasInitrd  bool
}

// GRUB is how a GRUB was built.
type GRUB struct {
	Prefix   string // folder of its configuration, perhaps with a device; empty for the program's own
	Embedded string // script that it runs first; empty without
}

// SBAT is a line of a program's revocation metadata (shim's SBAT.md): a component and its version.
type SBAT struct{ Component, Generation, Package, Version string }

// maxSection bounds what is read of a section.
const maxSection = 64 << 20

// Read reads the headers and the describing sections of an EFI program.
func Read(r io.ReaderAt) (*Program, error) {
	f, err := pe.NewFile(r)
	if err != nil {
		return nil, errors.New("it is no EFI program")
	}
	p := &Program{Machine: f.Machine}
	for _, s := range f.Sections {
		switch s.Name {
		case "mods":
			p.GRUB = readMods(s)
		case ".sbat":
			p.SBAT = parseSBAT(sectionText(s))
		case ".sdmagic":
			p.Loader = loaderInfo(sectionText(s))
			p.Addon = strings.HasPrefix(p.Loader, "systemd-addon ")
		case ".vendor_cert":
			p.VendorKeys = true
		case ".cmdline":
			p.Cmdline, p.HasCmdline = strings.TrimSpace(sectionText(s)), true
		case ".osrel":
			p.OSRelease = sectionText(s)
		case ".uname":
			p.Version = strings.TrimSpace(sectionText(s))
		case ".linux":
			p.Kernel = io.NewSectionReader(r, int64(s.Offset), sectionSize(s))
		case ".initrd":
			p.HasInitrd = true
		}
	}
	p.Linux = isLinux(r)
	for _, s := range p.SBAT {
		p.Shim = p.Shim || s.Component == "shim"
	}
	return p, nil
}

// isLinux tells whether a program is a kernel: the kernel's boot protocols for x86 and arm64 say where its marks are.
func isLinux(r io.ReaderAt) bool {
	for at, mark := range map[int64]string{0x202: "HdrS", 0x38: "ARM\x64"} {
		got := make([]byte, len(mark))
		if _, err := r.ReadAt(got, at); err == nil && string(got) == mark {
			return true
		}
	}
	return false
}

// loaderInfo is NAME VERSION of "#### LoaderInfo: NAME VERSION ####".
func loaderInfo(text string) string {
	info, ok := strings.CutPrefix(text, "#### LoaderInfo: ")
	info, _, closed := strings.Cut(info, " ####")
	if !ok || !closed {
		return ""
	}
	return info
}

// SystemdBoot tells whether the program is that boot loader.
func (p *Program) SystemdBoot() bool { return strings.HasPrefix(p.Loader, "systemd-boot ") }

// maxText bounds what is read of a section that describes the program, in bytes. Kernel arguments have some thousand.
const maxText = 1 << 20

func sectionText(s *pe.Section) string {
	data := make([]byte, min(sectionSize(s), maxText))
	n, _ := s.ReadAt(data, 0)
	data = data[:n]
	text, _, _ := strings.Cut(string(data), "\x00")
	return text
}

// sectionSize is that of what a section holds, without padding.
func sectionSize(s *pe.Section) int64 {
	if s.VirtualSize > 0 {
		return int64(min(s.Size, s.VirtualSize))
	}
	return int64(s.Size)
}

func parseSBAT(text string) (found []SBAT) {
	for line := range strings.Lines(text) {
		if f := strings.Split(strings.TrimSpace(line), ","); len(f) >= 5 {
			found = append(found, SBAT{f[0], f[1], f[3], f[4]})
		}
	}
	return found
}

// Objects behind a GRUB's code (its include/grub/kernel.h).
const (
	grubConfigObject = 2
	grubPrefixObject = 3
)

// readMods reads the objects that GRUB was built with: a header ("mimg", 4 bytes, the place and the
// size of the objects as 64-bit numbers), and for each its kind, its size and its content. nil where
// there are none.
func readMods(s *pe.Section) *GRUB {
	head := make([]byte, 24)
	if _, err := s.ReadAt(head, 0); err != nil || string(head[:4]) != "mimg" {
		return nil
	}
	at, size := int64(binary.LittleEndian.Uint64(head[8:])), int64(binary.LittleEndian.Uint64(head[16:]))
	if size < 0 || size > maxSection || at < 0 || at > maxSection {
		return nil
	}
	g := &GRUB{}
	object := make([]byte, 8)
	for at < size {
		if _, err := s.ReadAt(object, at); err != nil {
			return g
		}
		kind, n := binary.LittleEndian.Uint32(object), int64(binary.LittleEndian.Uint32(object[4:]))
		if n < 8 {
			return g
		}
		switch kind {
		case grubConfigObject:
			g.Embedded = objectText(s, at+8, n-8)
		case grubPrefixObject:
			g.Prefix = objectText(s, at+8, n-8)
		}
		at += n
	}
	return g
}

func objectText(r io.ReaderAt, at, size int64) string {
	data := make([]byte, min(size, 1<<16))
	n, _ := r.ReadAt(data, at)
	text, _, _ := bytes.Cut(data[:n], []byte{0})
	return string(text)
}
