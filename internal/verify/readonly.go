package verify

import (
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
)

// readOnlyTypes are filesystems that nobody writes to anyway.
var readOnlyTypes = []string{"squashfs", "erofs", "cramfs", "iso9660"}

// rootOverlays begin arguments by which a root that cannot be written to gets something over it that can.
var rootOverlays = []string{"overlayroot", "rd.live.", "rd.overlay", "systemd.volatile", "roothash", "usrhash"}

// readOnlyRoot warns of a system that cannot write to its root, nor to /var, and that was probably meant to. The kernel and
// the initramfs mount the root read-only; it is fstab that makes it writable, or the argument rw.
func readOnlyRoot(s *system, found *list) {
	root := s.mountOf("/").Volume.Content.Type
	if slices.Contains(readOnlyTypes, root) || s.writableVar() || slices.ContainsFunc(s.ownEntries(), s.hasOverlay) {
		return
	}
	if line, e := s.fstabLine("/"); e != nil {
		if last(e.Options, "ro", "rw") == "ro" {
			found.warn(fstabFile, line, "mounts the root read-only, and /var with it: services cannot keep their files")
			found.hint("the option defaults or rw, or a filesystem of its own for /var")
		}
		return
	}
	for _, e := range s.ownEntries() {
		if e.Args().Has("root") && s.rootIsHere(e) && last(e.Args(), "ro", "rw") != "rw" {
			found.warn(e.File, e.Line, "the root stays read-only: no line of %s is for /, and the kernel has no argument rw", fstabFile)
			found.hint("a line for / in %s", fstabFile)
			return
		}
	}
}

func (s *system) hasOverlay(e boot.Entry) bool {
	return slices.ContainsFunc(e.Args(), func(a string) bool {
		return slices.ContainsFunc(rootOverlays, func(o string) bool { return strings.HasPrefix(a, o) })
	})
}

// fstabLine is the line that mounts something at a mount point, the last one of several.
func (s *system) fstabLine(target string) (line int, e *disk.Entry) {
	for i, l := range s.fstab {
		if l.Entry != nil && l.Entry.Target == target {
			line, e = i+1, l.Entry
		}
	}
	return line, e
}

// writableVar tells whether /var is not a part of the root.
func (s *system) writableVar() bool {
	_, e := s.fstabLine("/var")
	return e != nil && last(e.Options, "ro", "rw") != "ro"
}

// last is the one of some words that comes last in a list.
func last(list []string, words ...string) string {
	for _, w := range slices.Backward(list) {
		if slices.Contains(words, w) {
			return w
		}
	}
	return ""
}
