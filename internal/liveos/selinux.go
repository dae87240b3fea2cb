package liveos

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
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
	for _, p := range m.Facts.Distro.LiveSELinux {
		have, err := m.Output(ctx, hostcmd.New("rpm", "-q", "--qf", "%{VERSION}-%{RELEASE}", p.Package))
		have = strings.TrimSpace(have)
		if err != nil {
			have = "none"
		}
		if err != nil || compareVersions(have, p.Least) < 0 {
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
