package booting

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/initramfs"
	"imagecustomizer/internal/kmod"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// target is where disks of a format are run, and what they are driven with there.
type target struct {
	where string
	early []string // drivers that reach the disk: the initramfs must have them
	late  []string // drivers that the system loads
}

// formatTargets are those of the output formats that are made for one place. Others run anywhere.
var formatTargets = map[string]target{
	"vhdx":      {"Hyper-V", []string{"hv_vmbus", "hv_storvsc"}, []string{"hv_netvsc"}},
	"vhd":       {"Hyper-V", []string{"hv_vmbus", "hv_storvsc"}, []string{"hv_netvsc"}},
	"vdi":       {"VirtualBox", []string{"ahci"}, []string{"e1000"}},
	"vhd-fixed": {"Hyper-V and Azure", []string{"hv_vmbus", "hv_storvsc"}, []string{"hv_netvsc", "nvme"}},
}

// anywhere is for disks of all other formats: one of its drivers reaches the disk.
var anywhere = []string{"virtio_blk", "virtio_scsi", "nvme", "ahci", "ata_piix", "hv_storvsc", "xen_blkfront", "vmw_pvscsi", "mmc_block", "usb_storage"}

// CheckTargets warns where the system will not run for which an output format is made.
type CheckTargets struct{ Formats []string }

// Name identifies the step.
func (CheckTargets) Name() string { return "check.drivers" }

// Stage is the part of the run that it belongs to.
func (CheckTargets) Stage() plan.Stage { return plan.Check }

func (s CheckTargets) String() string {
	return "look for the drivers of where " + strings.Join(s.Formats, ", ") + " runs"
}

// PlanTargets compares the kernels with the machines that the outputs are for.
func PlanTargets(g *feature.Given) (plan.Plan, []plan.Problem) {
	var formats []string
	for _, f := range g.Outputs {
		if _, known := formatTargets[f]; (known || f == "raw" || f == "qcow2") && !slices.Contains(formats, f) {
			formats = append(formats, f)
		}
	}
	if len(formats) == 0 {
		return nil, nil
	}
	return plan.Plan{CheckTargets{formats}}, nil
}

// Run warns: a disk may be meant for elsewhere.
func (s CheckTargets) Run(ctx context.Context, m *machine.Machine) error {
	kernels, err := boot.Kernels(m.Root)
	if err != nil {
		return err
	}
	for _, k := range kernels {
		modules := kmod.Read(m.Root, k.Modules)
		if k.Modules == "" || !modules.Known {
			continue // it cannot be told what is in the kernel itself
		}
		for _, f := range s.Formats {
			for _, text := range s.lacks(ctx, m, f, k, modules) {
				m.Log.Warn(text, "format", f)
			}
		}
	}
	return nil
}

// lacks says what keeps a kernel from where a format runs.
func (s CheckTargets) lacks(ctx context.Context, m *machine.Machine, format string, k boot.Kernel, modules kmod.Modules) (found []string) {
	t, special := formatTargets[format]
	if !special {
		if !slices.ContainsFunc(anywhere, modules.Has) {
			found = append(found, fmt.Sprintf("the kernel %s drives no disk of any virtual machine (%s)", k.Version, strings.Join(anywhere[:4], ", ")))
		}
		return found
	}
	lacks := func(drivers []string, has func(string) bool) (list []string) {
		return slices.DeleteFunc(slices.Clone(drivers), has)
	}
	if no := lacks(append(t.early[:len(t.early):len(t.early)], t.late...), modules.Has); len(no) > 0 {
		found = append(found, fmt.Sprintf("the kernel %s has no drivers for %s (%s): install one that has, such as the distribution's generic one",
			k.Version, t.where, strings.Join(no, ", ")))
	}
	early, read := initramfs.Drivers(ctx, m, k.Initramfs)
	if !read {
		return found
	}
	if no := lacks(t.early, func(d string) bool { return !modules.Loadable[d] || early[d] != "" }); len(no) > 0 {
		found = append(found, fmt.Sprintf("%s lacks drivers that %s needs (%s), although its kernel has them: it was made for another machine",
			k.Initramfs, t.where, strings.Join(no, ", ")))
	}
	return found
}
