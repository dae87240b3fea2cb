package verify

import (
	"slices"

	"imagecustomizer/internal/boot"
)

// initNames are what the kernel, or the initramfs, starts where init= names nothing: the first that is there
// (the kernel's init/main.c; initramfs-tools' and dracut's init are alike).
var initNames = []string{"/sbin/init", "/etc/init", "/bin/init"}

// systemdNames are the program of systemd, which an initramfs with systemd in it starts even where /sbin/init is missing.
var systemdNames = []string{"/usr/lib/systemd/systemd", "/lib/systemd/systemd"}

// startsInit checks that there is something to start as the first process. Without, the kernel panics, or a shell is all
// that there is.
func startsInit(s *system, found *list) {
	entries := s.ownEntries()
	asks := func(e boot.Entry) bool { return !e.Args().Has("init") && s.rootIsHere(e) }
	if len(entries) > 0 && !slices.ContainsFunc(entries, asks) {
		return // what init= names is checked with the other arguments
	}
	for _, name := range initNames {
		if _, err := s.Root.Stat(name); err != nil {
			continue
		}
		if text := s.unstartable(name); text != "" {
			found.at(name, 0, "%s: the kernel would have nothing to start", text)
			found.hint("%s", bringInit)
		}
		return
	}
	systemd := slices.IndexFunc(systemdNames, func(name string) bool { return s.unstartable(name) == "" })
	if systemd >= 0 && s.allBySystemd(slices.DeleteFunc(slices.Clone(entries), func(e boot.Entry) bool { return !asks(e) })) {
		found.warn(initNames[0], 0, "%s; only an initramfs with systemd in it starts %s all the same", s.unstartable(initNames[0]), systemdNames[systemd])
	} else {
		found.at(initNames[0], 0, "%s: the image has no init, and the kernel would have nothing to start but a shell", s.unstartable(initNames[0]))
	}
	found.hint("%s", bringInit)
}

const bringInit = "a package brings it (systemd-sysv on Debian, systemd on Azure Linux and Fedora), or the kernel argument init= names another"

// allBySystemd tells whether each entry loads an initramfs in which systemd runs.
func (s *system) allBySystemd(entries []boot.Entry) bool {
	return len(entries) > 0 && !slices.ContainsFunc(entries, func(e boot.Entry) bool {
		return !hasEarly(s.earlyFiles(e), systemdNames[0])
	})
}

// ownEntries are those that boot the system of this image.
func (s *system) ownEntries() []boot.Entry {
	if s.own == nil {
		s.own = boot.Own(s.Root, s.menu.Entries)
	}
	return s.own
}
