package verify

import (
	"errors"

	"imagecustomizer/internal/boot"
)

// menu checks what the configuration of the boot loader searches for and loads.
func menu(s *system, found *list) {
	if len(s.menu.Entries) == 0 && !s.unread {
		found.at(s.scheme.Config, 0, "the image has no boot entry (%s)", s.scheme)
	}
	s.references(found, s.menu)
	for _, e := range s.menu.Entries {
		if !s.more(lookup) {
			return
		}
		s.loads(found, e.Kernel, "the kernel")
		for _, i := range e.Initrds {
			s.loads(found, i, "the initramfs")
		}
	}
}

// references checks the filesystems that a configuration searches for, and where it goes on.
func (s *system) references(found *list, m *boot.Menu) {
	for _, r := range m.Searches {
		if !s.more(lookup) {
			return
		}
		if _, err := s.volumeOf(r.Place.Device, r.File); err != nil {
			found.at(r.File, r.Line, "%v", err)
			found.hint("GRUB cannot find its files without")
		}
	}
	for _, r := range m.Configs {
		if !s.more(lookup) {
			return
		}
		s.loads(found, r, "its configuration")
	}
}

// loads checks one file that the boot loader reads.
func (s *system) loads(found *list, r boot.Ref, what string) {
	_, err := s.find(r)
	switch {
	case err == nil:
	case errors.Is(err, errUnseen):
		found.warn(r.File, r.Line, "%s %s cannot be looked for: %v", what, r.Place.Path, err)
	default:
		found.at(r.File, r.Line, "%s: %v", what, err)
	}
}
