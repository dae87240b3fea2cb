package selinux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// RelabelAtBoot has the image label its files itself, when it starts for the first time.
type RelabelAtBoot struct{}

// Replaces is the file that asks for labels.
func (RelabelAtBoot) Replaces(*machine.Machine) []plan.Replaced {
	return feature.Replaced("", autorelabel)
}

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

// relabelUnit is what looks for the file autorelabel at boot.
const (
	relabelUnit = "/usr/lib/systemd/system/selinux-autorelabel-mark.service"
	autorelabel = "/.autorelabel"
)

// Relabel gives every file of the image the SELinux label that the image's policy says.
type Relabel struct {
	Changing bool // packages of this run may bring what is missing
}

// Name identifies the step.
func (Relabel) Name() string { return RelabelStep }

func (Relabel) String() string { return "label all files with the image's SELinux policy" }

// Check finds an image with a policy but without the program that knows it, where no packages change.
func (s Relabel) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	if _, err := s.contexts(m); err != nil && !s.Changing {
		return []plan.Problem{{Text: err.Error()}}
	}
	return nil
}

// contexts is the file of the policy that says which labels files have; empty where there is no
// policy, and so nothing that labels could mean.
func (Relabel) contexts(m *machine.Machine) (string, error) {
	text, err := m.Root.ReadFile(selinuxConfig)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	contexts := fileContexts(distro.ParseOSRelease(string(text))["SELINUXTYPE"])
	switch {
	case !m.Root.Exists(contexts):
		return "", nil
	case !m.Has("setfiles"):
		return "", errors.New("files cannot be labelled: the image has no setfiles; install policycoreutils")
	}
	return contexts, nil
}

// Run labels one filesystem after the other. Those without extended attributes, and what is sealed,
// are left out.
func (s Relabel) Run(ctx context.Context, m *machine.Machine) error {
	contexts, err := s.contexts(m)
	if err != nil || contexts == "" {
		return err
	}
	for _, f := range m.Facts.Filesystems {
		if f.Type == "vfat" || f.Kept {
			continue
		}
		if err := m.Bare(f.MountPoint, labelDir+f.MountPoint, func() error { return relabel(ctx, m, contexts, labelDir+f.MountPoint) }); err != nil {
			return fmt.Errorf("label the files of %s: %w", f.MountPoint, err)
		}
	}
	return nil
}

func PlanRelabel(g *feature.Given) (plan.Plan, []plan.Problem) {
	if !g.Labels() {
		return nil, nil
	}
	return plan.Plan{Relabel{g.Packages}}, nil
}
