package boot

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Regeneration is how the image makes its menu anew; nil where none is generated, or the program is missing.
func Regeneration(files Files, s Scheme) (argv, env []string) {
	if s.Kind != Mkconfig {
		return nil, nil
	}
	program, _ := mkconfigProgram(files, s.Config)
	if program == "" {
		return nil, nil
	}
	return regeneration(program, s)
}

// regeneration runs the generator. os-prober would offer the systems of whatever disks it sees.
func regeneration(program string, s Scheme) (argv, env []string) {
	return []string{program, "-o", s.Config}, []string{"GRUB_DISABLE_OS_PROBER=true"}
}

// Stale tells what of the kernels in /boot a menu does not have, or has although it is not there; "" if it is
// as it should be. Kernels and initramfs images elsewhere are none of its business.
func (m *Menu) Stale(kernels []Kernel) string {
	for _, k := range kernels {
		loads := false
		for _, e := range m.Entries {
			if path.Base(e.Kernel.Place.Path) != path.Base(k.Image) {
				continue
			}
			loads = true
			if k.Initramfs != "" && !e.loads(path.Base(k.Initramfs)) {
				return fmt.Sprintf("the entry of %s does not load %s", k.Image, k.Initramfs)
			}
		}
		if !loads {
			return "no entry loads " + k.Image
		}
	}
	for _, e := range m.Entries {
		name := path.Base(e.Kernel.Place.Path)
		if !strings.HasPrefix(name, "vmlinuz-") || strings.HasPrefix(name, "vmlinuz-0-rescue") {
			continue
		}
		if !slices.ContainsFunc(kernels, func(k Kernel) bool { return path.Base(k.Image) == name }) {
			return "an entry loads " + name + ", which is not there any more"
		}
	}
	return ""
}

// loads tells whether an entry loads an initramfs of that name.
func (e Entry) loads(name string) bool {
	return slices.ContainsFunc(e.Initrds, func(r Ref) bool { return path.Base(r.Place.Path) == name })
}
