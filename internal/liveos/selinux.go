package liveos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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

// selinuxOff is the file with which Prepare says that SELinux must be off on the media.
const selinuxOff = "selinux-off"

// prepareSELinux looks whether the media can have SELinux, and warns where not.
func prepareSELinux(ctx context.Context, m *machine.Machine, specs []Spec, dir string) error {
	for _, s := range specs {
		lack := SELinuxLack(ctx, m, s)
		if lack == nil {
			continue
		}
		m.Log.Warn("SELinux is off on the live medium: " + lack.What)
		if !s.FullOS {
			return os.WriteFile(filepath.Join(dir, selinuxOff), nil, 0o644)
		}
	}
	return nil
}

// withoutSELinux tells whether the image's SELinux must be off on the medium.
func (s *stage) withoutSELinux() bool {
	return s.spec.SELinux && (s.spec.FullOS || hostHas(filepath.Join(s.prepared, selinuxOff)))
}
