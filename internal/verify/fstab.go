package verify

import (
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/disk"
)

const fstabFile = "/etc/fstab"

// fstab checks that whatever is mounted at boot can be. systemd waits for a device that never comes,
// and then stops in its emergency mode.
func fstab(s *system, found *list) {
	targets := map[string]int{}
	claims := s.claims
	for i, l := range s.fstab {
		if !s.more(lookup) {
			return
		}
		e := l.Entry
		if e == nil {
			if text := strings.TrimSpace(l.Text); text != "" && !strings.HasPrefix(text, "#") {
				found.warn(fstabFile, i+1, "the line says too little for mount: %s", text)
			}
			continue
		}
		if first := targets[e.Target]; first > 0 && strings.HasPrefix(e.Target, "/") {
			found.warn(fstabFile, i+1, "%s is mounted by line %d already", e.Target, first)
		}
		targets[e.Target] = i + 1
		s.fstabEntry(found, i+1, claims[0])
		claims = claims[1:]
	}
}

func (s *system) fstabEntry(found *list, line int, e disk.Claim) {
	switch {
	case e.Type == "overlay":
		s.overlay(found, line, e.Entry)
	case slices.Contains(e.Options, "bind") || slices.Contains(e.Options, "rbind"):
		if !s.Root.Exists(e.Source) {
			found.at(fstabFile, line, "binds %s, which the image does not have", e.Source)
		}
	case e.Type == "swap" && strings.HasPrefix(e.Source, "/") && !strings.HasPrefix(e.Source, "/dev/"):
		if !s.Root.Exists(e.Source) {
			found.at(fstabFile, line, "swaps to the file %s, which the image does not have", e.Source)
		}
	case e.Use != disk.Ignore && e.ByDisk():
		s.otherDisk(found, line, e)
	case e.Entry.Use() == disk.Mount || e.Use == disk.Swap:
		s.source(found, line, e.Entry)
	}
}

// otherDisk looks at a disk that the image gets where it runs. That the cloud attaches it cannot be known.
func (s *system) otherDisk(found *list, line int, e disk.Claim) {
	switch {
	case e.Fatal:
		found.at(fstabFile, line, "mounts %s: %s", e.Target, e.Why)
	case e.Use == disk.Data && !e.Optional():
		found.warn(fstabFile, line, "mounts %s: %s; where it is not attached, the boot stops", e.Target, e.Why)
	default:
		return
	}
	found.hint("a disk that the image only gets where it runs needs the mount option nofail or noauto")
}

// source checks the device that a line names.
func (s *system) source(found *list, line int, e disk.Entry) {
	if strings.HasPrefix(e.Source, "/dev/mapper/") || strings.HasPrefix(e.Source, "/dev/dm-") || strings.HasPrefix(e.Source, "/dev/zram") {
		s.mapped(found, line, e)
		return
	}
	v, err := s.named(e.Source)
	if err != nil {
		found.add(Finding{File: fstabFile, Line: line, Text: err.Error(), Warning: e.Optional()})
		found.hint("a disk that the image only gets where it runs needs the mount option nofail or noauto")
		return
	}
	if !disk.SameType(e.Type, v.Content.Type) {
		found.at(fstabFile, line, "says that %s is %s, but partition %d holds %s", e.Source, e.Type, v.Number, orNothing(v.Content.Type))
	}
	if root := s.mountOf("/"); e.Target == "/" && v.Number != root.Volume.Number {
		found.at(fstabFile, line, "names partition %d as the root, but this file lies on partition %d", v.Number, root.Volume.Number)
	}
	s.subvolume(found, line, e)
}

// subvolume compares the subvolume that a line names with the one that is mounted there.
func (s *system) subvolume(found *list, line int, e disk.Entry) {
	is := s.mountOf(e.Target)
	if is.Path != e.Target || is.Subvolume == "" {
		return
	}
	for _, o := range e.Options {
		if named, ok := strings.CutPrefix(o, "subvol="); ok && path.Clean("/"+named) != is.Subvolume {
			found.at(fstabFile, line, "names the subvolume %s, but the files of %s lie in %s", named, e.Target, is.Subvolume)
		}
	}
}

func orNothing(s string) string {
	if s == "" {
		return "nothing known"
	}
	return s
}

// verityNames are the devices that systemd's generator makes for dm-verity, and the arguments of
// the kernel that ask for them.
var verityNames = map[string]string{"/dev/mapper/root": "roothash", "/dev/mapper/usr": "usrhash"}

// mapped checks a device that only the running system makes. Those of dm-verity need their hash on
// the kernel's command line.
func (s *system) mapped(found *list, line int, e disk.Entry) {
	arg := verityNames[e.Source]
	for _, entry := range s.menu.Entries {
		if !s.more(1) {
			return
		}
		if arg != "" && !entry.Args().Has(arg) {
			found.at(fstabFile, line, "mounts %s, but %s:%d passes no %s= to the kernel, which would make it", e.Source, entry.File, entry.Line, arg)
			return
		}
	}
}

// overlay checks the folders of an overlay. Those of one that the initramfs mounts are seen from
// there.
func (s *system) overlay(found *list, line int, e disk.Entry) {
	for _, o := range e.Options {
		key, value, _ := strings.Cut(o, "=")
		if !slices.Contains([]string{"lowerdir", "upperdir", "workdir"}, key) {
			continue
		}
		for _, dir := range strings.Split(value, ":") {
			inTree := "/" + strings.TrimLeft(strings.TrimPrefix(dir, "/sysroot"), "/")
			if !s.Root.IsDir(inTree) && !s.lateFolder(inTree) {
				found.at(fstabFile, line, "the overlay's %s %s is not a folder of the image", key, dir)
			}
		}
	}
}

// lateFolder tells whether a folder lies where only the running system has files.
func (s *system) lateFolder(name string) bool {
	if !s.more(len(s.claims)) {
		return true
	}
	for _, e := range s.claims {
		if e.Entry.Use() != disk.Mount && e.Type != "overlay" && e.Target != "/" && strings.HasPrefix(e.Target, "/") && within(name, e.Target) {
			return true
		}
	}
	return within(name, "/run") || within(name, "/dev")
}
