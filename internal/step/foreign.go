package step

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// programSteps begin the names of steps that have programs of the image do something.
var programSteps = []string{"packages", "scripts.", "services", "initramfs", "bootloader", "verity.prepare", "live.", selinuxRelabel, "locale", "keymap", "sudo", "sshd", "cloud-init"}

// withoutPrograms takes out of a plan what cannot be done in an image whose programs do not run on this host, and says
// what it was. Files, accounts, kernel arguments and partitions take no program of the image.
func withoutPrograms(p plan.Plan, f *machine.Facts) (possible plan.Plan, problems []plan.Problem) {
	if !f.Foreign {
		return p, nil
	}
	for _, s := range p {
		if r, ok := s.(RebuildInitramfs); ok && r.Why == newFilesystems && rootStays(p) {
			continue // they are mounted by the system, which has its modules then
		}
		needs := slices.ContainsFunc(programSteps, func(name string) bool { return strings.HasPrefix(s.Name(), name) })
		switch {
		case !needs:
			possible = append(possible, s)
		case s.Name() == selinuxRelabel:
			possible = append(possible, RelabelAtBoot{})
		default:
			problems = append(problems, plan.Problem{Step: s.Name(), Text: fmt.Sprintf("%s: %s", s, f.WhyForeign())})
		}
	}
	return possible, problems
}

// rootStays tells whether a plan adds filesystems beside those that an initramfs mounts.
func rootStays(p plan.Plan) bool {
	return slices.ContainsFunc(p, func(s plan.Step) bool {
		e, ok := s.(ExtendDisk)
		return ok && !slices.ContainsFunc(e.Layout.Mounts, func(m disk.LayoutMount) bool {
			return m.Partition > e.Layout.Kept && slices.Contains([]string{"/usr", "/etc", "/var"}, m.Entry.Target)
		})
	})
}

// RelabelAtBoot has the image label its files itself, when it starts for the first time.
type RelabelAtBoot struct{}

// relabelUnit is what looks for the file autorelabel at boot.
const (
	relabelUnit = "/usr/lib/systemd/system/selinux-autorelabel-mark.service"
	autorelabel = "/.autorelabel"
)

// Name identifies the step.
func (RelabelAtBoot) Name() string { return "selinux.relabel-at-boot" }

func (RelabelAtBoot) String() string { return "have the image label its files when it starts" }

// Check looks for what would do that.
func (RelabelAtBoot) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	if m.Root.Exists(relabelUnit) {
		return nil
	}
	return []plan.Problem{{
		Text: "files cannot be labelled for SELinux: " + m.Facts.WhyForeign() + ", and the image does not label them when it starts",
		Hint: "run this on a host of that architecture, or set os.selinux.mode to disabled",
	}}
}

// Run leaves the file.
func (RelabelAtBoot) Run(_ context.Context, m *machine.Machine) error {
	m.Log.Warn("files are labelled for SELinux when the image starts for the first time, which then starts once more")
	return m.Root.WriteFile(autorelabel, nil, 0o644)
}
