package boot

import (
	"bytes"
	"debug/pe"
	"fmt"
	"strings"

	"imagecustomizer/internal/kargs"
	"imagecustomizer/internal/rootfs"
)

// UnifiedImage is a unified kernel image: kernel, initramfs and arguments in one EFI program.
type UnifiedImage struct {
	Path    string
	Kernel  string // version; empty where the image does not say it
	Cmdline string // its own arguments and those of its add-ons
}

// UnifiedImages lists what lies where systemd-boot looks for unified kernel images.
func UnifiedImages(files Files) (found []UnifiedImage, err error) {
	for _, esp := range espDirs {
		for _, name := range list(files, esp+"/EFI/Linux", ".efi") {
			u := UnifiedImage{Path: name}
			sections, err := peSections(files, name)
			if err != nil {
				return nil, err
			}
			u.Kernel, u.Cmdline = sections[".uname"], sections[".cmdline"]
			for _, addon := range list(files, name+".extra.d", ".addon.efi") {
				more, err := peSections(files, addon)
				if err != nil {
					return nil, err
				}
				u.Cmdline = strings.TrimSpace(u.Cmdline + " " + more[".cmdline"])
			}
			found = append(found, u)
		}
	}
	return found, nil
}

// peSections reads the sections of an EFI program that hold a line of text (UAPI group, UKI).
func peSections(files Files, name string) (map[string]string, error) {
	data, err := files.ReadAs(rootfs.UnifiedImage, name)
	if err != nil {
		return nil, err
	}
	x, err := pe.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s is no EFI program: %w", name, err)
	}
	texts := map[string]string{}
	for _, s := range x.Sections {
		if s.Name != ".cmdline" && s.Name != ".uname" {
			continue
		}
		b, err := s.Data()
		if err != nil {
			return nil, fmt.Errorf("%s: section %s: %w", name, s.Name, err)
		}
		b = b[:min(uint32(len(b)), s.VirtualSize)] // the rest of the section is padding
		texts[s.Name] = strings.TrimSpace(strings.TrimRight(string(b), "\x00"))
	}
	return texts, nil
}

// uki are unified kernel images. How their arguments are changed is not known here.
type uki struct{ none }

// Entries lists the images that systemd-boot finds.
func (u uki) Entries(files Files) (*Menu, error) {
	m := &Menu{}
	images, err := UnifiedImages(files)
	for _, i := range images {
		args, err := kargs.Split(i.Cmdline)
		if err != nil {
			return nil, fmt.Errorf("%s: its kernel arguments: %w", i.Path, err)
		}
		id, tries := EntryID(i.Path)
		m.Entries = append(m.Entries, Entry{
			ID: id, Tries: tries, File: i.Path, Text: i.Cmdline, Unified: true, Version: i.Kernel,
			Arguments: ArgumentsAt(args, Origin{File: i.Path, Variable: ".cmdline"}),
		})
	}
	return m, err
}
