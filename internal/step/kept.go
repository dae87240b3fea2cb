package step

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	"imagecustomizer/internal/plan"
)

// hidden finds what a feature would write where it cannot, on filesystems that are sealed by dm-verity and stay so, and
// where it would not be seen, in directories at which a disk will be mounted that the image only gets where it runs.
// What packages and scripts write besides cannot be known; the kernel refuses it.
func (p Place) hidden(g *Given) (problems []plan.Problem) {
	refuse := func(t Touch, hint, format string, args ...any) {
		at := p.What + t.At
		problems = append(problems, plan.Problem{Step: at, Path: at, Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	var sealed []string // whose writing is refused already
	for _, t := range p.Touches() {
		name := path.Clean(t.Path)
		place := name + " lies"
		if t.What != "" {
			place = fmt.Sprintf("%s would lie in %s,", t.What, name)
		}
		if f := g.Facts.FilesystemOf(name); f.Kept && !g.NewDisk && (t.What == "" || !slices.Contains(sealed, f.MountPoint)) {
			sealed = append(sealed, f.MountPoint)
			refuse(t, "seal it anew with \"storage: {reinitializeVerity: all}\"", "%s lies on the filesystem of %s, which is sealed by dm-verity", name, f.MountPoint)
		}
		for _, dir := range g.Facts.Covered {
			if in(dir, name) && !slices.Contains(g.Mounts, dir) {
				refuse(t, cmp.Or(t.Instead, "put it on the image's own disk, and have a service copy it at boot"),
					"%s where /etc/fstab of the image mounts a disk that it gets where it runs", place)
			}
		}
	}
	return problems
}

// kept tells whether a file would lie on a filesystem that stays sealed.
func (g *Given) kept(name string) bool { return !g.NewDisk && g.Facts.FilesystemOf(name).Kept }
