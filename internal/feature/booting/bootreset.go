package booting

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// ResetBoot sets the boot loader up from scratch.
type ResetBoot struct {
	Type      feature.BootType    // empty for however the image boots already
	Args      []string            // the user's kernel arguments
	SELinux   feature.SELinuxMode // empty for that of the image
	Packages  []string            // that the run installs
	UpdateAll bool
	Renamed   bool // the filesystem of /boot, which GRUB's core image for BIOS may name, has another identifier
}

// Name identifies the step.
func (ResetBoot) Name() string { return "bootloader" }

// Stage is the part of the run that it belongs to.
func (ResetBoot) Stage() plan.Stage { return plan.Boot }

func (s ResetBoot) String() string {
	text := "set the boot loader up from scratch"
	if s.Type != "" {
		text += " for " + string(s.Type) + " boot"
	}
	if len(s.Args) > 0 {
		text += ", with kernel arguments " + strings.Join(s.Args, " ")
	}
	return text
}

// bootTarget is the image as what a boot loader is set up on.
func bootTarget(m *machine.Machine) boot.Target {
	t := boot.Target{Root: m.Root, Programs: m, Disk: m.Disk}
	if m.Facts.Foreign {
		t.Programs = nil
	}
	return t
}

// bootSetup is what a boot loader is set up for on an image.
func bootSetup(m *machine.Machine, args []string, mode feature.SELinuxMode) boot.Setup {
	onBoot, onRoot := m.Facts.FilesystemOf("/boot"), m.Facts.FilesystemOf("/")
	s := boot.Setup{
		GRUB: m.Facts.Distro.GRUB, Arch: m.Facts.Arch, BootUUID: onBoot.UUID, BootType: onBoot.Type,
		BootPath: strings.TrimSuffix(onBoot.Subvolume, "/") + strings.TrimPrefix("/boot", strings.TrimSuffix(onBoot.MountPoint, "/")),
		Root:     rootArgument(m, onRoot), SELinux: cmp.Or(mode, feature.SELinuxMode(m.Facts.SELinux)).Args(), Args: args,
	}
	if m.Facts.FilesystemOf(feature.ESPMount).MountPoint == feature.ESPMount {
		s.ESP = feature.ESPMount
	}
	for _, v := range m.Facts.Volumes {
		if v.Number == onRoot.Partition {
			s.RootPart = v.Partition.UUID
		}
	}
	if v := strings.TrimPrefix(onRoot.Subvolume, "/"); v != "" {
		s.RootFlags = []string{"rootflags=subvol=" + v}
	}
	return s
}

// rootArgument names the root as /etc/fstab does.
func rootArgument(m *machine.Machine, root machine.Filesystem) string {
	text, err := m.Root.ReadFile("/etc/fstab")
	if err != nil {
		return "UUID=" + root.UUID
	}
	for _, e := range disk.ParseFstab(string(text)).Entries() {
		if e.Target == "/" && (strings.HasPrefix(e.Source, "PARTUUID=") || strings.HasPrefix(e.Source, "PARTLABEL=")) {
			return e.Source
		}
	}
	return "UUID=" + root.UUID
}

// biosArea is where the core image for BIOS goes, if there is such a place: a partition for it, or
// what an MBR leaves free before its first partition.
func biosArea(f *machine.Facts) *grub.Area {
	first := int64(0)
	for i, v := range f.Volumes {
		if v.Partition.Type == disk.TypeBIOSBoot {
			return &grub.Area{Start: v.Start, Size: v.Size}
		}
		if strings.HasPrefix(v.Partition.Type, "0x") && (i == 0 || v.Start < first) {
			first = v.Start
		}
	}
	const sector = 512
	if first <= sector {
		return nil
	}
	return &grub.Area{Start: sector, Size: first - sector}
}

// Check looks whether the boot loader's programs are there, unless the run installs packages.
func (s ResetBoot) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	t, setup := bootTarget(m), bootSetup(m, nil, s.SELinux)
	switch setup.Scheme(m.Facts.Boot, t).Kind {
	case boot.Systemd:
		return s.checkSystemdBoot(t, setup)
	case boot.None:
		return []plan.Problem{{Text: fmt.Sprintf("how the boot loader of %s is set up is not known, and it has no systemd-boot", m.Facts.Distro.Name)}}
	}
	var problems []plan.Problem
	efi := s.Type == feature.BootEFI || s.Type == "" && setup.ESP != ""
	bios := s.Type == feature.BootLegacy || s.Type == "" && biosArea(m.Facts) != nil && (!efi || s.Renamed && grub.StartsGRUB(m.Disk))
	if missing := setup.LacksEFI(t); efi && missing != "" && !s.installs(setup, setup.GRUB.EFIPackages...) {
		problems = append(problems, plan.Problem{
			Text: fmt.Sprintf("the image has no EFI boot loader: %s is missing", missing),
			Hint: "install " + setup.Fill(strings.Join(setup.GRUB.EFIPackages, " and ")) + " in the same run (os.packages.install)",
		})
	}
	if missing := setup.LacksBIOS(t); bios && missing != "" && !s.installs(setup, setup.GRUB.BIOSPackage) {
		problems = append(problems, plan.Problem{
			Text: fmt.Sprintf("the image has no GRUB for BIOS: %s is missing", missing),
			Hint: "install " + setup.GRUB.BIOSPackage + " in the same run (os.packages.install)",
		})
	}
	if bios && m.Facts.Arch != "x86_64" {
		problems = append(problems, plan.Problem{Text: "there is no BIOS on " + m.Facts.Arch, Hint: "use bootType efi"})
	}
	if efi && !bios && !boot.KnowsEFI(m.Facts.Arch) {
		problems = append(problems, plan.Problem{Text: "how " + m.Facts.Arch + " boots is not known"})
	}
	return problems
}

// checkSystemdBoot checks an image that systemd-boot is set up on.
func (s ResetBoot) checkSystemdBoot(t boot.Target, setup boot.Setup) (problems []plan.Problem) {
	if s.Type == feature.BootLegacy {
		problems = append(problems, plan.Problem{Text: "the image boots by systemd-boot, which needs UEFI", Hint: "use bootType efi"})
	}
	if missing := setup.LacksSystemdBoot(t); missing != "" && !s.installs(setup, "systemd-boot") {
		problems = append(problems, plan.Problem{
			Text: fmt.Sprintf("the image has no EFI boot loader: %s is missing", missing),
			Hint: "install systemd-boot in the same run (os.packages.install)",
		})
	}
	return problems
}

// installs tells whether the run installs one of the packages, or something that may need them.
func (s ResetBoot) installs(setup boot.Setup, names ...string) bool {
	return slices.ContainsFunc(s.Packages, func(p string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(p, setup.Fill(n)) }) || strings.HasPrefix(p, "grub")
	})
}

// Run sets the loader up that fits the image, and warns of arguments that are gone.
func (s ResetBoot) Run(ctx context.Context, m *machine.Machine) error {
	t, setup := bootTarget(m), bootSetup(m, s.Args, s.SELinux)
	was, _ := boot.Args(m.Root, m.Facts.Boot) // there may be no boot loader yet
	if setup.GRUB != nil && (s.Type == feature.BootLegacy || setup.LacksBIOS(t) == "") {
		setup.BIOS = biosArea(m.Facts)
	}
	if err := setup.Scheme(m.Facts.Boot, t).Loader().Install(ctx, t, setup); err != nil {
		return err
	}
	warnDropped(m, was)
	return nil
}

// warnDropped names the arguments that a reset has taken away: who added them may not expect it.
func warnDropped(m *machine.Machine, was []string) {
	scheme, err := boot.Detect(m.Root)
	if err != nil {
		return
	}
	is, err := boot.Args(m.Root, scheme)
	if gone := boot.Dropped(was, is); err == nil && len(gone) > 0 {
		m.Log.Warn("setting the boot loader up from scratch dropped kernel arguments that the image had; add those that are needed to os.kernelCommandLine.extraCommandLine",
			"arguments", strings.Join(gone, " "))
	}
}

// Replaces lists the configuration of the boot loader.
func (s ResetBoot) Replaces(m *machine.Machine) []plan.Replaced {
	config := m.Facts.Boot.Config
	if config == "" {
		return nil
	}
	return feature.Replaced("os.bootloader", config, path.Join(path.Dir(config), "grubenv"), feature.GRUBDefaults)
}
