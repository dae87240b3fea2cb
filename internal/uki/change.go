package uki

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"

	"imagecustomizer/internal/efi"
)

// names are the sections that make a unified kernel image of a stub.
var names = []string{
	".osrel", ".cmdline", ".dtb", ".dtbauto", ".hwids", ".uname", ".splash", ".pcrpkey", ".pcrsig",
	".initrd", ".ucode", ".linux", ".efifw", ".profile",
}

// Image is a unified kernel image, or an add-on.
type Image struct {
	efi.Base
	first int // of the sections that the stub does not have
}

// Read reads the headers of one.
func Read(file *io.SectionReader) (Image, error) {
	b, err := efi.ReadBase(file)
	if err != nil {
		return Image{}, err
	}
	first := slices.IndexFunc(b.Sections, func(s efi.ImageSection) bool { return slices.Contains(names, s.Name) })
	if first < 0 {
		first = len(b.Sections)
	}
	return Image{b, first}, nil
}

// Signed tells whether there is a signature, which any change would break.
func (i Image) Signed() bool { return i.Certificates.Size > 0 }

// Text is that of the first section of a name, which is the one for all profiles; empty where there is none.
func (i Image) Text(name string) string {
	for _, s := range i.Sections {
		if s.Name == name {
			return strings.TrimRight(string(content(i.Base, s)), "\x00")
		}
		if s.Name == ".profile" {
			break
		}
	}
	return ""
}

// Has tells whether there is a section of a name.
func (i Image) Has(name string) bool { return len(i.Find(name)) > 0 }

// Profiles are the images's ways to boot besides the first.
func (i Image) Profiles() (list []Profile) {
	for _, s := range i.Sections {
		switch n := len(list); {
		case s.Name == ".profile":
			list = append(list, parseProfile(string(content(i.Base, s))))
		case s.Name == ".cmdline" && n > 0:
			list[n-1].Cmdline = strings.Trim(string(content(i.Base, s)), "\x00 \n")
		}
	}
	return list
}

func parseProfile(text string) (p Profile) {
	for line := range strings.Lines(strings.TrimRight(text, "\x00")) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key {
		case "ID":
			p.ID = value
		case "TITLE":
			p.Title = value
			if plain, err := strconv.Unquote(value); err == nil {
				p.Title = plain
			}
		}
	}
	return p
}

// WithCmdline is the same with other arguments: change gets those of each place that has some, and the identifier of the
// profile whose they are. What is signed loses its signature. An image without arguments gets a section for them.
func (i Image) WithCmdline(change func(profile, args string) string) (efi.Assembled, error) {
	var sections []efi.Section
	profile, has := "", false
	for _, s := range i.Sections[i.first:] {
		section := efi.Section{Name: s.Name, Size: s.Size(), Data: s.Content(i.File), Memory: int64(s.Memory), Flags: s.Flags}
		switch s.Name {
		case ".profile":
			profile = parseProfile(string(content(i.Base, s))).ID
		case ".cmdline":
			data := cmdline(change(profile, strings.Trim(string(content(i.Base, s)), "\x00")))
			section.Size, section.Data, section.Memory = int64(len(data)), bytes.NewReader(data), 0
			has = has || profile == ""
		}
		sections = append(sections, section)
	}
	if !has {
		at := min(1, len(sections)) // behind .osrel
		sections = slices.Insert(sections, at, efi.Bytes(".cmdline", cmdline(change("", ""))))
	}
	return i.First(i.first).With(nil, sections)
}
