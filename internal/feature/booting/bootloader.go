package booting

import (
	"fmt"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/plan"
)

// Bootloader says what becomes of the boot loader.
type Bootloader struct {
	ResetType ResetType `yaml:"resetType" default:"\"\"" doc:"hard-reset sets the boot loader up from scratch: its programs, its configuration and the initramfs images. An image that systemd-boot boots, or that has it and no GRUB, gets systemd-boot. The kernel arguments are then those of the distribution and extraCommandLine. Needed with storage.disks and storage.resetPartitionsUuidsType."`
}

// ResetType tells whether the boot loader is set up from scratch.
type ResetType string

// HardReset sets the boot loader up from scratch.
const HardReset ResetType = "hard-reset"

// Values lists the types.
func (ResetType) Values() []string { return []string{"", string(HardReset)} }

// Used tells whether it is set up from scratch.
func (b Bootloader) Used() bool { return b.ResetType == HardReset }

// Touches is the file from which boot entries are made.
func (Bootloader) Touches() []feature.Touch { return []feature.Touch{{Path: feature.GRUBDefaults}} }

// Record is nothing: the history of the reference has no boot loader.
func (Bootloader) Record() (any, error) { return nil, nil }

// Plan sets it up, with the kernel arguments.
func (Bootloader) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	s := ResetBoot{Type: g.BootType, Args: g.Args, SELinux: g.SELinux, Packages: g.Installs, UpdateAll: g.UpdateAll, Renamed: g.Renamed}
	switch {
	case g.Facts.Distro.GRUB == nil && g.Facts.Boot.Kind != boot.Systemd && g.Facts.Boot.Kind != boot.None:
		return nil, []plan.Problem{{Step: s.Name(), Text: fmt.Sprintf("how the boot loader of %s is set up is not known", g.Facts.Distro.Name)}}
	case g.Facts.Boot.Kind == boot.UKI:
		return nil, []plan.Problem{{Step: s.Name(), Text: "the image boots unified kernel images, for which there is no boot loader to set up"}}
	}
	return plan.Plan{s}, nil
}
