package verify

import (
	"io"
	"path"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/efi"
)

// unified adds the unified kernel images, each of which is a boot entry in one file.
func (s *system) unified() {
	if s.scheme.Kind != boot.UKI || s.efi == nil || s.efi.dir == "" {
		return
	}
	dir := s.fold(path.Join(s.efi.dir, "EFI/Linux"))
	entries := s.names(dir)
	for _, f := range entries {
		if !s.more(100 * lookup) {
			return
		}
		if strings.HasSuffix(strings.ToLower(f.Name()), ".efi") {
			s.unifiedKernel(path.Join(dir, f.Name()))
		}
	}
}

func (s *system) unifiedKernel(name string) {
	f, err := s.Root.Open(name, 0, 0)
	if err != nil {
		s.broken.at(name, 0, "%v", err)
		s.unread = true
		return
	}
	defer f.Close()
	p, err := efi.Read(f)
	if err != nil {
		s.broken.at(name, 0, "%v", err)
		s.unread = true
		return
	}
	if p.Kernel == nil {
		s.broken.at(name, 0, "is not a unified kernel image: it has no kernel in it")
		s.unread = true
		return
	}
	e, err := boot.UnifiedEntry(s.Root, strings.TrimSuffix(s.efi.dir, "/"), name)
	if err != nil {
		s.broken.at("", 0, "%v", err)
	}
	s.menu.Entries = append(s.menu.Entries, e)
	for _, k := range s.kernels {
		if p.Version == k.Version || p.Version == "" && s.moreBytes(p.Kernel.Size()) && s.sameBytes(io.NewSectionReader(p.Kernel, 0, p.Kernel.Size()), k.Image) {
			s.sealedIn[k.Version] = append(s.sealedIn[k.Version], e)
		}
	}
}
