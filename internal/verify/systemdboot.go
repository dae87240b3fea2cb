package verify

import (
	"io"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
)

// systemdBoot checks what systemd-boot reads besides its entries, and the filesystem that these lie on.
func systemdBoot(s *system, found *list) {
	if s.scheme.Kind != boot.Systemd && s.scheme.Kind != boot.UKI {
		return
	}
	s.defaultEntry(found)
	s.counters(found)
	if s.efi != nil && s.efi.dir != "" {
		if seed := s.fold(path.Join(s.efi.dir, "loader/random-seed")); s.Root.Exists(seed) {
			found.warn(seed, 0, "every system made of this image would begin with the same random seed")
			found.hint("remove it; systemd makes one for each system")
		}
	}
	s.bootSpace(found)
}

// started are all entries that systemd-boot shows.
func (s *system) started() []boot.Entry { return slices.Concat(s.menu.Entries, s.menu.Programs) }

// defaultEntry checks that loader.conf selects something: systemd-boot takes another entry without a word otherwise.
func (s *system) defaultEntry(found *list) {
	c := boot.ReadLoaderConf(s.Root, s.scheme)
	if c.Default == "" || strings.HasPrefix(c.Default, "@") || strings.HasPrefix(c.Default, "auto-") {
		return
	}
	if slices.ContainsFunc(s.started(), c.Selects) {
		return
	}
	found.warn(c.File, c.Line, "the default is %s, which no entry is: systemd-boot starts another", c.Default)
	with := c
	if with.Default += ".conf"; slices.ContainsFunc(s.started(), with.Selects) {
		found.hint("write %s: since version 245 the name has its ending", with.Default)
		return
	}
	var names []string
	for _, e := range s.started()[:min(len(s.started()), mostFindings)] {
		names = append(names, e.ID+path.Ext(e.File))
	}
	found.hint("the entries are %s", strings.Join(names, ", "))
}

// counters checks the boot counters in the names of entries.
func (s *system) counters(found *list) {
	first := map[string]string{}
	for _, e := range s.started() {
		if !s.more(1) {
			return
		}
		key := path.Join(path.Dir(e.File), e.ID)
		if e.Tries == "0" {
			found.warn(e.File, 0, "no try to boot this entry is left: systemd-boot starts it after all others")
		}
		if other := first[key]; other != "" {
			found.warn(e.File, 0, "is the same entry as %s, with another boot counter: neither is ever called good", other)
			found.hint("remove one of them")
		}
		first[key] = e.File
	}
}

// bootSpace warns where the filesystem with the entries has no room for one more kernel, which the next update brings.
func (s *system) bootSpace(found *list) {
	dir := s.scheme.Entries
	if dir == "" && len(s.menu.Entries) > 0 {
		dir = s.menu.Entries[0].File
	}
	v := s.mountOf(dir).Volume
	if dir == "" || v.Content.Type != "vfat" {
		return
	}
	size, free, err := disk.FATSpace(io.NewSectionReader(s.Disk, v.Start, v.Size))
	if err != nil {
		return
	}
	var need int64
	for _, e := range s.menu.Entries {
		if !s.more(2 * lookup) {
			return
		}
		need = max(need, s.sizeOf(e))
	}
	if free < need || free < size/20 {
		found.warn(s.mountOf(dir).Path, 0, "the filesystem that systemd-boot reads (partition %d) has %d MiB free of %d; one more kernel takes %d", v.Number, free>>20, size>>20, (need+1<<20-1)>>20)
		found.hint("make the partition larger (storage.disks), or remove kernels")
	}
}

// sizeOf is what the files of an entry take.
func (s *system) sizeOf(e boot.Entry) (total int64) {
	refs := append([]boot.Ref{e.Kernel}, e.Initrds...)
	if e.Unified {
		refs = refs[:1]
	}
	for _, r := range refs {
		if file, err := s.find(r); err == nil {
			if fi, err := s.Root.Stat(file); err == nil {
				total += fi.Size()
			}
		}
	}
	return total
}
