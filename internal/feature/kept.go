package feature

import (
	"slices"
)

// Kept tells whether a file would lie on a filesystem that stays sealed.
func (g *Given) Kept(name string) bool { return !g.NewDisk && g.Facts.FilesystemOf(name).Kept }

// Unwritable says why a folder cannot be written at boot, or "".
func (g *Given) Unwritable(dir string) string {
	own := slices.Contains(g.Mounts, dir) || slices.Contains(g.Overlaid, dir) || !g.NewDisk && g.Facts.FilesystemOf(dir).MountPoint == dir
	if g.SealedRoot && !own {
		return "the root is sealed by dm-verity, and " + dir + " lies on it"
	}
	return ""
}
