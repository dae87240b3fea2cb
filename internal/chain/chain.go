// Package chain finds the programs by which an image starts on UEFI firmware: shim, boot loaders, unified kernel images
// and their add-ons. What a program is, is told by what is in it, never by its name.
package chain

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/rootfs"
)

// Kind is what a program is.
type Kind string

// The kinds of programs.
const (
	Shim    Kind = "shim"
	Loader  Kind = "bootloader" // GRUB or systemd-boot
	UKI     Kind = "uki"
	Addon   Kind = "uki-addon"
	Kernel  Kind = "kernel"
	Unknown Kind = "unknown" // such as shim's MokManager, or a tool of the vendor
)

// Program is an EFI program of an image.
type Program struct {
	Path    string // absolute, on the EFI system partition
	Kind    Kind
	Machine uint16   // of its code, as in a PE header
	SHA256  [32]byte // of the file

	Info *efi.Program
}

// maxPrograms bounds how many programs of an EFI system partition are looked at.
const maxPrograms = 1000

// Programs are the programs of an EFI system partition, by their paths. Files that are no programs are left out.
func Programs(esp *rootfs.Root) (list []Program, err error) {
	err = esp.Walk("/", func(name string, e fs.DirEntry) error {
		if !e.Type().IsRegular() {
			return nil
		}
		if len(list) == maxPrograms {
			return fmt.Errorf("the EFI system partition has more than %d programs", maxPrograms)
		}
		p, err := read(esp, name)
		if err == nil && p != nil {
			list = append(list, *p)
		}
		return err
	})
	slices.SortFunc(list, func(a, b Program) int { return strings.Compare(a.Path, b.Path) })
	return list, err
}

// read is a program, or nil where the file is none.
func read(esp *rootfs.Root, name string) (*Program, error) {
	f, err := esp.Open(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	mark := make([]byte, 2)
	if _, err := f.ReadAt(mark, 0); err != nil || string(mark) != "MZ" {
		return nil, nil
	}
	info, err := efi.Read(f)
	if err != nil {
		return nil, nil
	}
	p := &Program{Path: name, Machine: info.Machine, Info: info, Kind: KindOf(info, name)}
	p.SHA256, err = rootfs.SHA256(f)
	return p, err
}

// KindOf tells what a program is.
func KindOf(p *efi.Program, name string) Kind {
	switch {
	case p.Kernel != nil:
		return UKI
	case p.Shim && p.VendorKeys:
		return Shim
	case p.GRUB != nil || p.SystemdBoot():
		return Loader
	case p.Linux:
		return Kernel
	case strings.HasSuffix(strings.ToLower(name), ".addon.efi") && (p.Addon || p.HasCmdline):
		return Addon
	}
	return Unknown
}

// First is the program that firmware starts; nil where there is none for that architecture, as uname -m says it.
func First(list []Program, arch string) *Program {
	want, machine := "/EFI/BOOT/boot"+efi.Suffix(arch)+".efi", efi.Machine(arch)
	for i := range list {
		if strings.EqualFold(list[i].Path, want) && list[i].Machine == machine && machine != 0 {
			return &list[i]
		}
	}
	return nil
}

// Second is the loader that a shim starts: that of a fixed name beside it.
func Second(list []Program, shim Program) *Program {
	dir, base := path.Split(shim.Path)
	suffix := strings.ToLower(base)
	for _, begin := range []string{"boot", "shim"} {
		suffix = strings.TrimPrefix(suffix, begin)
	}
	for i := range list {
		if strings.EqualFold(list[i].Path, dir+"grub"+suffix) && list[i].Kind == Loader {
			return &list[i]
		}
	}
	return nil
}

// Copies are the programs with the same bytes, p itself left out.
func Copies(list []Program, p Program) (same []Program) {
	for _, o := range list {
		if o.SHA256 == p.SHA256 && o.Path != p.Path {
			same = append(same, o)
		}
	}
	return same
}

// AddonsOf are the add-ons of a unified kernel image.
func AddonsOf(list []Program, uki Program) (found []Program) {
	for _, o := range list {
		if o.Kind == Addon && strings.EqualFold(path.Dir(o.Path), uki.Path+".extra.d") {
			found = append(found, o)
		}
	}
	return found
}
