package verify

import (
	"cmp"
	"path"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/efi"
)

// esp is an EFI system partition.
type esp struct {
	volume disk.Volume
	dir    string // in the tree; empty where it is not mounted
}

func isESP(v disk.Volume) bool {
	return v.Partition.Type == disk.TypeESP || v.Partition.Type == disk.TypeMBRESP
}

func (s *system) findESP() *esp {
	for _, v := range s.Volumes {
		if !isESP(v) {
			continue
		}
		e := &esp{volume: v}
		for _, m := range s.Mounts {
			if m.Volume.Number == v.Number {
				e.dir = m.Path
			}
		}
		return e
	}
	return nil
}

// efiNames are the names of the loader that firmware starts (UEFI specification, "Removable media boot behavior") and of
// the second one that shim starts.
func efiNames(arch string) (loader, second string) {
	suffix := efi.Suffix(arch) + ".efi"
	return strings.ToUpper("boot" + suffix), "grub" + suffix
}

// efiLoader checks that firmware which knows nothing of the image, as in a new virtual machine, finds
// a boot loader, and that this finds its configuration.
func efiLoader(s *system, found *list) {
	if s.efi == nil || !boot.KnowsEFI(s.Arch) {
		return
	}
	if t := s.efi.volume.Content.Type; t != "vfat" {
		found.at("", 0, "partition %d is the EFI system partition, but holds %s; firmware reads FAT only", s.efi.volume.Number, orNothing(t))
		return
	}
	if s.efi.dir == "" {
		found.warn("", 0, "the EFI system partition (partition %d) cannot be mounted; it is not looked into", s.efi.volume.Number)
		return
	}
	loader, second := efiNames(s.Arch)
	file := s.fold(path.Join(s.efi.dir, "EFI/BOOT", loader))
	p := s.program(found, file, efi.Machine(s.Arch))
	if p != nil && p.Shim {
		file = s.second(file, second)
		p = s.program(found, file, efi.Machine(s.Arch))
	}
	if p != nil && p.GRUB != nil {
		s.grubConfig(found, file, p.GRUB, boot.GRUBPlatform(s.Arch))
	}
	s.stubs(found)
}

// program reads an EFI program that is needed.
func (s *system) program(found *list, file string, machine uint16) *efi.Program {
	f, err := s.Root.Open(file, 0, 0)
	if missing(err) {
		found.at(file, 0, "there is no such file: firmware has nothing to start")
		found.hint("firmware looks for EFI/BOOT/%s on the EFI system partition, and shim for the loader beside it", path.Base(file))
		return nil
	}
	if err != nil {
		found.at(file, 0, "%v", err)
		return nil
	}
	defer f.Close()
	p, err := efi.Read(f)
	switch {
	case err != nil:
		found.at(file, 0, "%v", err)
	case p.Machine != machine:
		found.at(file, 0, "is a program for another machine (PE type %#x)", p.Machine)
	}
	return p
}

// second is the loader that shim starts: its own fallback program where there is one, which starts what
// a boot option file names, and otherwise that of a fixed name beside shim.
func (s *system) second(shim, name string) string {
	dir := path.Dir(shim)
	fallback := s.fold(path.Join(dir, strings.Replace(strings.ToLower(path.Base(shim)), "boot", "fb", 1)))
	beside := s.fold(path.Join(dir, name))
	if !s.Root.Exists(fallback) {
		return beside
	}
	for _, e := range s.names(path.Dir(dir)) {
		if !s.more(lookup) {
			break
		}
		option := s.fold(path.Join(path.Dir(dir), e.Name(), path.Base(shim[:len(shim)-4])+".CSV"))
		if loader := s.fold(path.Join(path.Dir(option), name)); s.Root.Exists(option) && s.Root.Exists(loader) {
			return loader
		}
	}
	return beside
}

// grubConfig checks that a GRUB finds its configuration where it was built to look for it.
func (s *system) grubConfig(found *list, file string, g *efi.GRUB, platform string) {
	own := path.Dir(file)
	dirs := []string{own}
	device, dir, onDevice := strings.Cut(strings.TrimPrefix(g.Prefix, "("), ")")
	switch {
	case strings.HasPrefix(g.Prefix, "(") && onDevice:
		r := boot.Ref{File: file, Place: boot.Place{Device: device, Path: path.Join(dir, "grub.cfg")}}
		if _, err := s.find(r); err == nil || strings.HasPrefix(device, "memdisk") {
			return
		}
	case g.Prefix != "":
		dirs = append(dirs, path.Join(s.efi.dir, g.Prefix))
	}
	for _, d := range dirs {
		for _, sub := range []string{"", platform} {
			if s.Root.Exists(s.fold(path.Join(d, sub, "grub.cfg"))) {
				return
			}
		}
	}
	place := cmp.Or(g.Prefix, own[len(strings.TrimSuffix(s.efi.dir, "/")):])
	finding := Finding{File: file, Text: "this GRUB looks for grub.cfg in " + place + " of its partition, where there is none"}
	finding.Warning = g.Embedded != "" && !strings.Contains(g.Embedded, "grub.cfg") // it may know another way
	found.add(finding)
}

// stubs checks the configurations on the EFI system partition, which lead to the one proper.
func (s *system) stubs(found *list) {
	for _, dir := range []string{"EFI", "boot"} {
		parent := s.fold(path.Join(s.efi.dir, dir))
		for _, e := range s.names(parent) {
			if !s.more(lookup) {
				return
			}
			file := s.fold(path.Join(parent, e.Name(), "grub.cfg"))
			if s.Root.Exists(file) && file != s.scheme.Config && s.mountOf(file).Path == s.efi.dir {
				s.stub(found, file)
			}
		}
	}
}

func (s *system) stub(found *list, file string) {
	if fi, err := s.Root.Stat(file); err == nil && !s.more(int(fi.Size()>>4)) {
		return
	}
	m, err := boot.ReadConfig(s.Root, file)
	if err != nil {
		found.at(file, 0, "%v", err)
		return
	}
	s.references(found, m)
	for _, r := range m.Configs {
		// The configuration proper is the one that this program and the system's own tools edit.
		if to, err := s.find(r); err == nil && s.scheme.Config != "" && !s.sameFile(to, s.scheme.Config) {
			found.warn(r.File, r.Line, "leads to %s, but the system's configuration is %s", to, s.scheme.Config)
		}
	}
}
