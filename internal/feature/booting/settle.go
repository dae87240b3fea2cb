// Package booting is what a config says of how the system boots: the boot loader, kernel arguments, the initramfs, and what
// is looked at before it is said to boot.
package booting

import (
	"context"
	"fmt"
	"slices"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/initramfs"
	"imagecustomizer/internal/machine"
)

// Settled runs programs of the image that may change kernels and initramfs images, and then has the image make
// what depends on these, if it has not: hooks of packages do nothing where they find themselves in what
// looks like a container to them, as this program's sandbox does to systemd 257.
func Settled(ctx context.Context, m *machine.Machine, g initramfs.Guard, run func() error) error {
	before, err := bootState(m)
	if err != nil {
		return err
	}
	if err := g.Run(ctx, m, run); err != nil {
		return err
	}
	after, err := bootState(m)
	if err != nil {
		return err
	}
	if lack := after.withoutInitramfs(before); len(lack) > 0 {
		if err := makeInitramfs(ctx, m, lack); err != nil {
			return err
		}
		if after, err = bootState(m); err != nil {
			return err
		}
	}
	if after.stale != "" && after.stale != before.stale {
		if err := refresh(ctx, m, before, after); err != nil {
			return err
		}
	}
	if after.modules == before.modules || after.modules == "" {
		return nil
	}
	return matchCore(ctx, m)
}

// matchCore puts GRUB's core for BIOS where the firmware finds it, made from the modules that are in /boot now. Programs
// of the image cannot write to the disk, so that a package's own grub-install replaces the modules and then fails: a
// core and modules that do not belong together end in GRUB's rescue prompt.
func matchCore(ctx context.Context, m *machine.Machine) error {
	if !grub.StartsGRUB(m.Disk) {
		return nil
	}
	setup := bootSetup(m, nil, "")
	if setup.BIOS = biosArea(m.Facts); setup.GRUB == nil || setup.BIOS == nil {
		return fmt.Errorf("the run replaced GRUB's modules for BIOS, and how GRUB is put on the disk of %s is not known", m.Facts.Distro.Name)
	}
	m.Log.Info("GRUB's modules for BIOS are others than before; its core is made anew from them")
	return boot.InstallBIOS(ctx, bootTarget(m), setup)
}

// booted is what an image boots, as its boot loader and /boot have it.
type booted struct {
	scheme  boot.Scheme
	kernels []boot.Kernel
	stale   string // what the menu lacks, where the image can make it anew
	modules string // digest of GRUB's modules for BIOS, which its core on the disk must match
}

func bootState(m *machine.Machine) (s booted, err error) {
	if s.scheme, err = boot.Detect(m.Root); err != nil {
		return s, err
	}
	if s.modules, err = boot.BIOSModules(m.Root); err != nil {
		return s, err
	}
	if s.kernels, err = boot.Kernels(m.Root); err != nil {
		return s, err
	}
	s.stale = s.scheme.Loader().Lags(m.Root, s.kernels)
	return s, nil
}

// withoutInitramfs are new kernels without an initramfs, where the kernels before all had one.
func (s booted) withoutInitramfs(before booted) (versions []string) {
	old := map[string]bool{}
	for _, k := range before.kernels {
		if k.Initramfs == "" {
			return nil
		}
		old[k.Version] = true
	}
	for _, k := range s.kernels {
		if len(old) > 0 && !old[k.Version] && k.Initramfs == "" && k.Modules != "" {
			versions = append(versions, k.Version)
		}
	}
	return versions
}

// makeInitramfs makes an initramfs for kernels whose packages have made none.
func makeInitramfs(ctx context.Context, m *machine.Machine, versions []string) error {
	var commands [][]string
	for _, v := range versions {
		m.Log.Info("the packages of a kernel have made no initramfs; it is made now", "kernel", v)
		switch {
		case m.Has("update-initramfs"):
			commands = append(commands, []string{"update-initramfs", "-c", "-k", v})
		case m.Has("dracut"):
			commands = append(commands, []string{"dracut", "--force", "--kver", v})
		}
	}
	if err := (initramfs.Guard{Fast: true}).Run(ctx, m, func() error { return runAll(ctx, m, commands, nil) }); err != nil {
		return err
	}
	kernels, err := boot.Kernels(m.Root)
	for _, k := range kernels {
		for _, v := range versions {
			if k.Version == v && k.Initramfs == "" {
				return fmt.Errorf("the kernel %s has no initramfs, as the others have, and the image's own builder makes none: "+
					"is it switched off, diverted or replaced by a program that does nothing?", v)
			}
		}
	}
	return err
}

func runAll(ctx context.Context, m *machine.Machine, commands [][]string, env []string) error {
	for _, argv := range commands {
		c := hostcmd.New(argv[0], argv[1:]...)
		if env != nil {
			c.Env = append(env, hostcmd.DefaultEnv...)
		}
		if err := m.Run(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// refresh has the image make its boot entries anew.
func refresh(ctx context.Context, m *machine.Machine, before, after booted) error {
	m.Log.Info("the boot menu lags behind the kernels; it is made anew", "because", after.stale)
	gone := slices.DeleteFunc(slices.Clone(before.kernels), func(old boot.Kernel) bool {
		return slices.ContainsFunc(after.kernels, func(k boot.Kernel) bool { return k.Version == old.Version })
	})
	return after.scheme.Loader().Refresh(ctx, bootTarget(m), gone)
}
