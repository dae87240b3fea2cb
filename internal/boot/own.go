package boot

import (
	"path"
	"slices"
	"strings"
)

// kernelNames tell the kernels of this system from what else a menu may start: installers, network boot programs,
// live systems from a file, other systems on the disk. Kernel arguments are for the former only.
type kernelNames struct {
	versions []string // that are installed
	links    []string // names without a version, such as Debian's /vmlinuz
}

// kernelsOf finds the names in an image.
func kernelsOf(files Files) (n kernelNames) {
	for _, dir := range []string{"/lib/modules", "/usr/lib/modules"} {
		entries, _ := files.ReadDir(dir)
		for _, e := range few(entries, maxKernels) {
			n.versions = append(n.versions, e.Name())
		}
	}
	for _, dir := range []string{"/", "/boot"} {
		entries, _ := files.ReadDir(dir)
		for _, e := range entries {
			if len(n.versions) > 4*maxKernels || len(n.links) > maxKernels {
				break
			}
			if version, ok := strings.CutPrefix(e.Name(), "vmlinuz-"); ok {
				n.versions = append(n.versions, version)
			}
			if e.Name() == "vmlinuz" || e.Name() == "vmlinuz.old" {
				n.links = append(n.links, e.Name())
			}
		}
	}
	return n
}

// own tells whether a boot entry that loads this file loads a kernel of this system. The file may be named in its
// filesystem, and behind a device in parentheses.
func (n kernelNames) own(file string) bool {
	device, name, named := strings.Cut(file, ")")
	if !named || !strings.HasPrefix(device, "(") {
		device, name = "", file
	}
	if strings.HasPrefix(device, "(loop") {
		return false
	}
	dir, base := path.Split(path.Clean("/" + name))
	if slices.Contains(n.links, base) {
		return dir == "/" || strings.HasSuffix(dir, "/boot/") || strings.Count(dir, "/") == 2 && strings.HasPrefix(dir, "/@")
	}
	return slices.ContainsFunc(n.versions, func(v string) bool {
		return strings.HasSuffix(base, "-"+v) || slices.Contains(strings.Split(dir, "/"), v)
	})
}

// ownOf keeps what loads a kernel of this system. Where nothing does, names are not what tells, and all is kept.
func ownOf[T any](files Files, all []T, kernel func(T) string) []T {
	names := kernelsOf(files)
	own := slices.DeleteFunc(slices.Clone(all), func(t T) bool { return !names.own(kernel(t)) })
	if len(own) == 0 {
		return all
	}
	return own
}

// Own are the entries that boot a kernel of this system.
func Own(files Files, entries []Entry) []Entry {
	return slices.Clone(ownOf(files, entries, Entry.kernelFile))
}

// kernelFile is where a kernel lies, as its boot loader names it. A unified kernel image is taken for the kernel that it
// says, or that it is named by.
func (e Entry) kernelFile() string {
	switch {
	case e.Unified && e.Version != "":
		return "/vmlinuz-" + e.Version
	case e.Unified:
		return "/" + e.ID
	}
	return "(" + e.Kernel.Place.Device + ")" + e.Kernel.Place.Path
}
