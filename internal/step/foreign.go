package step

import (
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/feature/selinux"
	"imagecustomizer/internal/feature/storage"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// programSteps begin the names of steps that have programs of the image do something.
var programSteps = []string{"packages", "scripts.", "services", "initramfs", "bootloader", "verity.prepare", "live.", selinux.RelabelStep, "locale", "keymap", "sudo", "sshd", "cloud-init"}

// withoutPrograms takes out of a plan what cannot be done in an image whose programs do not run on this host, and says
// what it was. Files, accounts, kernel arguments and partitions take no program of the image.
func withoutPrograms(p plan.Plan, f *machine.Facts) (possible plan.Plan, problems []plan.Problem) {
	if !f.Foreign {
		return p, nil
	}
	for _, s := range p {
		if r, ok := s.(booting.RebuildInitramfs); ok && r.Why == booting.NewFilesystems && rootStays(p) {
			continue // they are mounted by the system, which has its modules then
		}
		needs := slices.ContainsFunc(programSteps, func(name string) bool { return strings.HasPrefix(s.Name(), name) })
		switch {
		case !needs:
			possible = append(possible, s)
		case s.Name() == selinux.RelabelStep:
			possible = append(possible, selinux.RelabelAtBoot{})
		default:
			problems = append(problems, plan.Problem{Step: s.Name(), Text: fmt.Sprintf("%s: %s", s, f.WhyForeign())})
		}
	}
	return possible, problems
}

// rootStays tells whether a plan adds filesystems beside those that an initramfs mounts.
func rootStays(p plan.Plan) bool {
	return slices.ContainsFunc(p, func(s plan.Step) bool {
		e, ok := s.(storage.ExtendDisk)
		return ok && !slices.ContainsFunc(e.Layout.Mounts, func(m disk.LayoutMount) bool {
			return m.Partition > e.Layout.Kept && slices.Contains([]string{"/usr", "/etc", "/var"}, m.Entry.Target)
		})
	})
}
