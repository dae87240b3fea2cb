// Package uki makes and changes unified kernel images: EFI programs that hold a kernel, an initramfs and the kernel's
// arguments (UAPI.5, systemd-stub(7)), and their add-ons, which hold arguments alone.
package uki

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"imagecustomizer/internal/efi"
)

// Parts are what a unified kernel image is made of. All but Stub, Kernel, OSRelease and Version may be missing.
type Parts struct {
	Stub      *io.SectionReader // systemd's linux*.efi.stub
	Kernel    *io.SectionReader
	Initrds   []*io.SectionReader // in the order in which the kernel unpacks them
	OSRelease []byte
	Version   string // of the kernel, as uname -r says it
	Cmdline   string

	Splash          []byte   // a BMP picture
	DeviceTree      []byte   // for every machine
	DeviceTreesAuto [][]byte // the stub takes the one for the machine that it runs on
	Microcode       *io.SectionReader
	Profiles        []Profile
}

// Profile is another way to boot the same image.
type Profile struct {
	ID, Title string
	Cmdline   string // all arguments, not only further ones
}

// sbat is what the two kinds of program say of themselves besides systemd's stub (shim's SBAT.md).
const (
	sbatHead  = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"
	sbatUKI   = "uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/\n"
	sbatAddon = "uki-addon,1,UKI Addon,addon,1,https://uapi-group.org/specifications/specs/unified_kernel_image/\n"
)

// Build puts a unified kernel image together. Its parts are read while it is.
func Build(p Parts) (efi.Assembled, error) {
	stub, err := efi.ReadBase(p.Stub)
	if err != nil {
		return efi.Assembled{}, fmt.Errorf("the stub: %w", err)
	}
	if why := p.unfit(stub); why != nil {
		return efi.Assembled{}, why
	}
	kernel, err := p.kernel(stub)
	if err != nil {
		return efi.Assembled{}, err
	}
	sections := []efi.Section{efi.Bytes(".osrel", p.OSRelease), efi.Bytes(".cmdline", cmdline(p.Cmdline)), efi.Bytes(".uname", []byte(p.Version))}
	add := func(name string, data []byte) {
		if len(data) > 0 {
			sections = append(sections, efi.Bytes(name, data))
		}
	}
	add(".splash", p.Splash)
	add(".dtb", p.DeviceTree)
	for _, d := range p.DeviceTreesAuto {
		add(".dtbauto", d)
	}
	if p.Microcode != nil {
		sections = append(sections, efi.Section{Name: ".ucode", Size: p.Microcode.Size(), Data: p.Microcode})
	}
	if len(p.Initrds) > 0 {
		sections = append(sections, initrd(p.Initrds))
	}
	sections = append(sections, kernel)
	sections = append(sections, p.profiles()...)
	return stub.With(map[string][]byte{".sbat": p.sbat(stub)}, p.withSBAT(stub, sections))
}

// cmdline is what the section holds. The arguments of the boot loader count where an image has none, even under Secure
// Boot, and a section of null bytes makes stubs hang; one blank is neither.
func cmdline(text string) []byte { return []byte(cmp.Or(strings.TrimSpace(text), " ")) }

// unfit finds what a stub does not know.
func (p Parts) unfit(stub efi.Base) error {
	version := Stub(stub)
	switch {
	case version == 0:
		return errors.New("the stub is none of systemd's")
	case len(p.Profiles) > 0 && version < MinProfiles:
		return fmt.Errorf("the stub of systemd %d knows no profiles; %d is the first that does", version, MinProfiles)
	case len(p.DeviceTreesAuto) > 0 && version < MinDeviceTrees:
		return fmt.Errorf("the stub of systemd %d takes no device tree by itself; %d is the first that does", version, MinDeviceTrees)
	case p.Microcode != nil && version < MinMicrocode:
		return fmt.Errorf("the stub of systemd %d does not load microcode; %d is the first that does", version, MinMicrocode)
	}
	return nil
}

// Versions of systemd whose stub is the first with something.
const (
	MinAddons      = 254
	MinMicrocode   = 256
	MinProfiles    = 257
	MinDeviceTrees = 257
	minRelocated   = 257 // runs the kernel where its section lies
)

var loaderInfo = regexp.MustCompile(`#### LoaderInfo: systemd-(?:stub|addon) (\d+)`)

// Stub is the version of systemd that a stub is part of, or what was made of it; 0 for other programs.
func Stub(b efi.Base) int {
	for _, s := range b.Find(".sdmagic") {
		if m := loaderInfo.FindSubmatch(content(b, s)); m != nil {
			n, _ := strconv.Atoi(string(m[1]))
			return n
		}
	}
	return 0
}

// content is that of a small section.
func content(b efi.Base, s efi.ImageSection) []byte {
	data := make([]byte, min(s.Size(), maxSmall))
	n, _ := s.Content(b.File).ReadAt(data, 0)
	return data[:n]
}

// maxSmall bounds what is read of a section that holds text.
const maxSmall = 1 << 20

// kernel is the section with the kernel, byte for byte, since it may be signed.
func (p Parts) kernel(stub efi.Base) (efi.Section, error) {
	k, err := efi.ReadBase(p.Kernel)
	switch {
	case err != nil:
		return efi.Section{}, fmt.Errorf("the kernel %s cannot be started by firmware: %w", p.Version, err)
	case k.Machine != stub.Machine:
		return efi.Section{}, fmt.Errorf("the kernel %s is made for another machine (%#x) than the stub (%#x)", p.Version, k.Machine, stub.Machine)
	}
	s := efi.Section{Name: ".linux", Size: p.Kernel.Size(), Data: p.Kernel, Flags: efi.Code}
	if Stub(stub) >= minRelocated {
		s.Memory = int64(k.MemorySize)
	}
	return s, nil
}

// initrd joins images: each begins at a multiple of 4 bytes, between them are zeros.
func initrd(images []*io.SectionReader) efi.Section {
	s := efi.Section{Name: ".initrd"}
	var all []io.Reader
	for i, image := range images {
		all = append(all, image)
		s.Size += image.Size()
		if rest := s.Size % 4; rest != 0 && i+1 < len(images) {
			all = append(all, bytes.NewReader(make([]byte, 4-rest)))
			s.Size += 4 - rest
		}
	}
	s.Data = io.MultiReader(all...)
	return s
}

// profiles are the first one, which has all that stands before, and those that have something else.
func (p Parts) profiles() (sections []efi.Section) {
	if len(p.Profiles) == 0 {
		return nil
	}
	sections = append(sections, efi.Bytes(".profile", profileText("main", "")))
	for _, x := range p.Profiles {
		sections = append(sections, efi.Bytes(".profile", profileText(x.ID, x.Title)), efi.Bytes(".cmdline", cmdline(x.Cmdline)))
	}
	return sections
}

func profileText(id, title string) []byte {
	text := "ID=" + id + "\n"
	if title != "" {
		text += "TITLE=" + strconv.Quote(title) + "\n"
	}
	return []byte(text)
}

// sbat joins what the stub and the kernel say of themselves, with one line for the format.
func (p Parts) sbat(stub efi.Base) []byte {
	text := sbatText(stub)
	if k, err := efi.ReadBase(p.Kernel); err == nil {
		text += sbatText(k)
	}
	return sbat(text, sbatUKI)
}

func sbat(others, own string) []byte {
	text := sbatHead
	for line := range strings.Lines(others) {
		if line = strings.TrimSpace(line) + "\n"; !strings.HasPrefix(line, "sbat,") && !strings.Contains(text, line) {
			text += line
		}
	}
	if !strings.Contains(text, own) {
		text += own
	}
	return []byte(text + "\x00")
}

func sbatText(b efi.Base) (text string) {
	for _, s := range b.Find(".sbat") {
		text += strings.TrimRight(string(content(b, s)), "\x00") + "\n"
	}
	return text
}

// withSBAT adds the section where the stub has none to replace.
func (p Parts) withSBAT(stub efi.Base, sections []efi.Section) []efi.Section {
	if len(stub.Find(".sbat")) > 0 {
		return sections
	}
	return append([]efi.Section{efi.Bytes(".sbat", p.sbat(stub))}, sections...)
}

// Addon is a program that gives further arguments to the kernel of a version, or, without one, to all.
func Addon(stub *io.SectionReader, version, args string) (efi.Assembled, error) {
	b, err := efi.ReadBase(stub)
	if err != nil {
		return efi.Assembled{}, fmt.Errorf("the stub: %w", err)
	}
	sections := []efi.Section{efi.Bytes(".cmdline", cmdline(args))}
	if version != "" {
		sections = append(sections, efi.Bytes(".uname", []byte(version)))
	}
	text := sbat(sbatText(b), sbatAddon)
	if len(b.Find(".sbat")) == 0 {
		sections = append(sections, efi.Bytes(".sbat", text))
	}
	return b.With(map[string][]byte{".sbat": text}, sections)
}
