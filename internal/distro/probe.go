package distro

import (
	"maps"
	"slices"
	"strings"
)

// ProbeGRUB finds out how the boot loader of an image is set up whose distribution, or release of one, is not
// known. exists tells whether the image has a file; vendors are the folders of the EFI system partition in which
// distributions have their boot loader, or the one that is built into a signed GRUB of the image. nil where
// nothing that is known fits.
func ProbeGRUB(osRelease map[string]string, exists func(name string) bool, vendors []string) *GRUB {
	kin := append([]string{osRelease["ID"]}, strings.Fields(osRelease["ID_LIKE"])...)
	is := func(names ...string) bool {
		return slices.ContainsFunc(kin, func(k string) bool { return slices.Contains(names, k) })
	}
	switch grub2 := exists("/usr/sbin/grub2-mkconfig"); {
	case exists("/usr/share/grub/default/grub") && (exists("/usr/sbin/grub-mkconfig") || exists("/usr/bin/grub-mkconfig")):
		return debianGRUB("debian").of(vendor(kin, vendors, "debian"), "debian")
	case grub2 && is("fedora", "rhel", "centos"):
		return fedoraGRUB.of(vendor(kin, vendors, "fedora"), "fedora")
	case grub2 && is(azureLinux3.ID):
		return azureGRUB.of("fedora", "fedora")
	}
	return nil
}

// vendor is the name of a distribution's folder on the EFI system partition, which is built into its signed
// GRUB: one that is there, and otherwise that of its kin.
func vendor(kin, there []string, otherwise string) string {
	names := map[string]bool{}
	for _, d := range there {
		names[strings.ToLower(d)] = true
	}
	for _, k := range kin {
		if names[k] {
			return k
		}
	}
	delete(names, "boot")
	if left := slices.Sorted(maps.Keys(names)); len(left) == 1 {
		return left[0]
	}
	return otherwise
}

// of is a known way of setting GRUB up for another vendor. How old that one's GRUB is, and what was added to it,
// is not known.
func (g GRUB) of(vendor, known string) *GRUB {
	g.Version, g.Vendor = "2.02", ""
	rename := func(text string) string { return strings.Replace(text, "EFI/"+known+"/", "EFI/"+vendor+"/", 1) }
	g.Stubs = slices.Clone(g.Stubs)
	for i, s := range g.Stubs {
		g.Stubs[i] = rename(s)
	}
	g.Programs = slices.Clone(g.Programs)
	for i, p := range g.Programs {
		g.Programs[i].To = slices.Clone(p.To)
		for j, to := range p.To {
			g.Programs[i].To[j] = rename(to)
		}
	}
	return &g
}
