package verify

import (
	"bytes"
	"encoding/binary"
	"path"
	"slices"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/kmod"
	"imagecustomizer/internal/rootfs"
)

// drivers checks that the image's kernels have drivers for its filesystems, and that its fsck, which runs
// at boot, knows what they are made of.
func drivers(s *system, found *list) {
	for _, k := range s.kernels {
		s.kernelDrivers(found, k.Version, k.Modules)
	}
	s.fsck(found)
}

// moduleNames are the kernel modules for filesystems with other names.
var moduleNames = map[string]string{"ext2": "ext4", "ext3": "ext4"}

func (s *system) kernelDrivers(found *list, version, dir string) {
	modules := s.modulesOf(dir)
	if dir == "" || !modules.Known {
		return // it cannot be told what is in the kernel itself
	}
	seen := []string{}
	for _, m := range s.Mounts {
		fstype := m.Volume.Content.Type
		if slices.Contains(seen, fstype) || m.Path != "/" && !s.inFstab(m.Path) {
			continue
		}
		seen = append(seen, fstype)
		module := fstype
		if other := moduleNames[fstype]; other != "" {
			module = other
		}
		if !modules.Has(kmod.Name(module)) {
			found.at("", 0, "the kernel %s has no driver for %s, which %s is (partition %d)", version, fstype, m.Path, m.Volume.Number)
		}
	}
	if slices.ContainsFunc(s.claims, func(e disk.Claim) bool { return verityNames[e.Source] != "" }) && !modules.Has("dm_verity") {
		found.at("", 0, "the kernel %s has no driver for dm-verity (dm-verity.ko)", version)
	}
}

// modulesOf are the drivers of a kernel.
func (s *system) modulesOf(dir string) kmod.Modules {
	m, known := s.modules[dir]
	if !known && s.more(100*lookup) {
		m = kmod.Read(s.Root, dir)
		s.modules[dir] = m
		s.more((len(m.Loadable) + len(m.Builtin)) / 2)
	}
	return m
}

// inFstab tells whether the system itself mounts something there.
func (s *system) inFstab(mountPoint string) bool {
	return slices.ContainsFunc(s.claims, func(e disk.Claim) bool { return e.Target == mountPoint })
}

// compatNames are features of ext4 that a kernel may ignore, but that an old e2fsck stops at. The
// table of names is in its library.
var compatNames = map[uint32]string{0x400: "fast_commit", 0x800: "stable_inodes", 0x1000: "orphan_file"}

// fsck checks that the image's e2fsck knows the features of what it checks at boot.
func (s *system) fsck(found *list) {
	known := s.e2fsckNames()
	if known == nil {
		return
	}
	for _, m := range s.Mounts {
		v := s.volume(m.Volume.Number)
		if v == nil || v.Content.Type != "ext4" || !s.checkedAtBoot(m.Path) {
			continue
		}
		word := make([]byte, 4)
		if _, err := s.Disk.ReadAt(word, v.Start+1024+92); err != nil {
			continue
		}
		for bit, name := range compatNames {
			if binary.LittleEndian.Uint32(word)&bit != 0 && !bytes.Contains(known, []byte(name)) {
				found.at("", 0, "the ext4 filesystem of %s (partition %d) has the feature %s, which the image's own e2fsck does not know: it fails at boot", m.Path, v.Number, name)
			}
		}
	}
}

// e2fsckNames is the library with the names of features that the image's e2fsck knows.
func (s *system) e2fsckNames() []byte {
	for _, dir := range []string{"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/lib64", "/lib"} {
		if data, err := s.Root.ReadAs(rootfs.Library, path.Join(dir, "libe2p.so.2")); err == nil {
			return data
		}
	}
	return nil
}

func (s *system) checkedAtBoot(mountPoint string) bool {
	for _, e := range s.claims {
		if e.Target == mountPoint {
			return e.Pass > 0
		}
	}
	return false
}
