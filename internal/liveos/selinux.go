package liveos

import (
	"imagecustomizer/internal/boot"

	"context"
	"fmt"
	"slices"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/pkgmgr/probe"
)

// selinuxArgs are the names of SELinux's kernel arguments.
var selinuxArgs = []string{"security", "selinux", "enforcing"}

// SELinuxLack says why a live system of the image must have SELinux off; nil where it need not.
func SELinuxLack(ctx context.Context, m *machine.Machine, s Spec) *Lack {
	switch {
	case !s.SELinux:
		return nil
	case s.FullOS:
		return &Lack{What: "a system in the initramfs (initramfsType: full-os) cannot have SELinux: its files have no labels", Hint: "set os.selinux.mode to disabled"}
	}
	if len(m.Facts.Distro.LiveSELinux) == 0 {
		return nil
	}
	installed, _ := probe.Installed(ctx, m) // what cannot be seen is not there
	for _, p := range m.Facts.Distro.LiveSELinux {
		have := "none"
		if i := slices.IndexFunc(installed, func(q pkgmgr.Package) bool { return q.Name == p.Package }); i >= 0 {
			have = installed[i].Version + "-" + installed[i].Release
		}
		if have == "none" || boot.CompareVersions(have, p.Least) < 0 {
			return &Lack{
				What: fmt.Sprintf("a live system with SELinux needs %s %s or newer, and the image has %s", p.Package, p.Least, have), Package: p.Package,
				Hint: "update the package " + p.Package + ", or set os.selinux.mode to disabled",
			}
		}
	}
	return nil
}

// withoutSELinux is the specs with SELinux off where a live system cannot have it, which is warned of.
func withoutSELinux(ctx context.Context, m *machine.Machine, specs []Spec) []Spec {
	specs = slices.Clone(specs)
	warned := map[string]bool{}
	for i, s := range specs {
		lack := SELinuxLack(ctx, m, s)
		if lack == nil {
			continue
		}
		specs[i].SELinuxOff = true
		if !warned[lack.What] {
			m.Log.Warn("SELinux is off on the live medium: " + lack.What)
		}
		warned[lack.What] = true
	}
	return specs
}
