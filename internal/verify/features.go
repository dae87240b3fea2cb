package verify

import (
	"io"
	"path"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/rootfs"
)

// features checks that the image's own kernels can use its filesystems, and its GRUB those that it
// reads from.
func features(s *system, found *list) {
	grub, vendor := s.grubVersion()
	read := s.readByGRUB()
	for _, m := range s.Mounts {
		v := s.volume(m.Volume.Number)
		if v == nil || m.Path != s.firstMount(v) {
			continue
		}
		for _, f := range disk.FeaturesOf(s.Disk, v) {
			for _, k := range s.kernels {
				if !f.UsedBy(k.Version) {
					found.at("", 0, "the %s filesystem of %s (partition %d) has the feature %s, which the kernel %s cannot use", v.Content.Type, m.Path, v.Number, f.Name, k.Version)
				}
			}
			if read[v.Number] != "" && grub != "" && !f.ReadBy(grub, vendor) {
				found.at("", 0, "the %s filesystem of %s (partition %d), which GRUB reads %s from, has the feature %s; the image's GRUB %s cannot read it", v.Content.Type, m.Path, v.Number, read[v.Number], f.Name, grub)
			}
		}
	}
	s.holes(found)
}

func (s *system) firstMount(v *disk.Volume) string {
	for _, m := range s.Mounts {
		if m.Volume.Number == v.Number {
			return m.Path
		}
	}
	return ""
}

// readByGRUB are the numbers of volumes that GRUB reads from, and one file that it reads there.
func (s *system) readByGRUB() map[int]string {
	read := map[int]string{}
	for _, file := range s.grubFiles() {
		read[s.mountOf(file).Volume.Number] = file
	}
	return read
}

// grubFiles are the files of the tree that GRUB must read.
func (s *system) grubFiles() (files []string) {
	if s.scheme.Config == "" {
		return nil
	}
	files = append(files, s.scheme.Config)
	seen := map[string]bool{s.scheme.Config: true}
	for _, e := range s.menu.Entries {
		for _, r := range append([]boot.Ref{e.Kernel}, e.Initrds...) {
			if file, err := s.find(r); err == nil && !seen[file] && s.more(1) {
				seen[file] = true
				files = append(files, file)
			}
		}
	}
	return files
}

// holes looks for files that GRUB cannot read on an xfs because they are sparse.
func (s *system) holes(found *list) {
	for _, file := range s.grubFiles() {
		if !s.more(2 * lookup) {
			return
		}
		if v := s.volume(s.mountOf(file).Volume.Number); v != nil && v.Content.Type == "xfs" && s.sparse(file) {
			found.at(file, 0, "the file has a hole, which GRUB cannot read on an xfs")
			found.hint("\"cp --sparse=never\" makes a copy without holes")
		}
	}
}

func (s *system) sparse(file string) bool {
	f, err := s.Root.Open(file, 0, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return false
	}
	hole, err := f.Seek(0, unix.SEEK_HOLE)
	return err == nil && hole < end
}

// moduleVersion is GRUB's version in its module normal, behind the text that it is printed with.
var moduleVersion = regexp.MustCompile(`GNU GRUB  version %s\x00+([0-9][^\x00]*)\x00`)

// grubVersion is the version of the image's GRUB, and the component that names its distribution: from the
// program on the EFI system partition, else from its modules. Empty where it cannot be told.
func (s *system) grubVersion() (version, vendor string) {
	if version, vendor = s.sbatVersion(); version != "" {
		return version, vendor
	}
	dir := path.Dir(s.scheme.Config)
	for _, platform := range []string{"x86_64-efi", "i386-pc", "arm64-efi"} {
		if m := moduleVersion.FindStringSubmatch(s.read(rootfs.Library, path.Join(dir, platform, "normal.mod"))); m != nil {
			if strings.Contains(m[1], "deb") {
				vendor = "grub.debian"
			}
			return m[1], vendor
		}
	}
	return "", ""
}

func (s *system) sbatVersion() (version, vendor string) {
	if s.efi == nil || s.efi.dir == "" || !boot.KnowsEFI(s.Arch) {
		return "", ""
	}
	_, second := efiNames(s.Arch)
	f, err := s.Root.Open(s.fold(path.Join(s.efi.dir, "EFI/BOOT", second)), 0, 0)
	if err != nil {
		return "", ""
	}
	defer f.Close()
	p, err := efi.Read(f)
	if err != nil {
		return "", ""
	}
	for _, l := range p.SBAT {
		switch {
		case l.Component == "grub":
			version = l.Version
		case strings.HasPrefix(l.Component, "grub.") && vendor == "":
			vendor = l.Component
		}
	}
	return version, vendor
}
