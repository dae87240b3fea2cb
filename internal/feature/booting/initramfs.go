package booting

import (
	"context"
	"fmt"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/initramfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// RebuildInitramfs makes the initramfs images of all kernels anew, with the image's own builder.
type RebuildInitramfs struct{ Why string }

// Name identifies the step.
func (RebuildInitramfs) Name() string { return "initramfs" }

// Stage is the part of the run that it belongs to.
func (RebuildInitramfs) Stage() plan.Stage { return plan.Boot }

func (s RebuildInitramfs) String() string { return "rebuild the initramfs for " + s.Why }

// Run has every image made anew.
func (s RebuildInitramfs) Run(ctx context.Context, m *machine.Machine) error {
	commands, err := initramfsCommands(m)
	if err != nil {
		return err
	}
	return Settled(ctx, m, initramfs.Guard{Fast: true, All: true}, func() error { return runAll(ctx, m, commands, nil) })
}

// initramfsCommands are the image's ways to rebuild. Mariner's mkinitrd does one kernel at a time.
func initramfsCommands(m *machine.Machine) (commands [][]string, err error) {
	switch {
	case m.Has("update-initramfs"):
		return [][]string{{"update-initramfs", "-u", "-k", "all"}}, nil
	case m.Has("mkinitrd"):
		kernels, err := boot.Kernels(m.Root)
		for _, k := range kernels {
			name := k.Initramfs
			if name == "" {
				name = "/boot/initrd.img-" + k.Version
			}
			commands = append(commands, []string{"mkinitrd", "-f", name, k.Version})
		}
		return commands, err
	case m.Has("dracut"):
		return [][]string{{"dracut", "--force", "--regenerate-all"}}, nil
	}
	return nil, fmt.Errorf("the image has no program that makes an initramfs (dracut, mkinitrd, update-initramfs): install one of their packages")
}

// NewFilesystems is why an initramfs is made anew that may have to mount others.
const NewFilesystems = "the new filesystems"

// PlanInitramfs rebuilds where something changes what an initramfs must hold.
func PlanInitramfs(g *feature.Given) (plan.Plan, []plan.Problem) {
	if len(g.Initramfs) == 0 {
		return nil, nil
	}
	return plan.Plan{RebuildInitramfs{strings.Join(g.Initramfs, " and ")}}, nil
}

// Replaces lists the images in /boot.
func (RebuildInitramfs) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("", initramfs.Images(m)...)
}
