package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
)

// efiTargets are GRUB's names for what it is built for.
var efiTargets = map[string]struct{ efi, deb string }{
	"x86_64": {"x86_64-efi", "amd64"}, "aarch64": {"arm64-efi", "arm64"},
}

// GRUBPlatform is what GRUB calls UEFI on an architecture, such as x86_64-efi; empty where it is not known.
func GRUBPlatform(arch string) string { return efiTargets[arch].efi }

// KnowsEFI tells whether it is known how machines of this architecture boot with UEFI.
func KnowsEFI(arch string) bool { return GRUBPlatform(arch) != "" }

const biosModules = "/usr/lib/grub/i386-pc"

// Fill puts the values of the image into a text of the distribution's.
func (s Setup) Fill(text string) string {
	linux := strings.Join(s.SELinux, " ")
	if linux != "" {
		linux += " "
	}
	t := efiTargets[s.Arch]
	return distro.Fill(text, map[string]string{
		distro.GrubUUID: s.BootUUID, distro.GrubBoot: s.BootPath, distro.GrubRoot: s.Root, distro.GrubLinux: linux,
		distro.GrubArgs: strings.Join(s.Args, " "), distro.GrubArch: efi.Suffix(s.Arch), "@TARGET@": t.efi, "@DEBARCH@": t.deb,
	})
}

// Scheme is what a setup makes of an image that is configured as now. An image that has no GRUB gets systemd-boot, if it
// has that.
func (s Setup) Scheme(now Scheme, t Target) Scheme {
	switch {
	case now.Kind == Systemd:
		return now
	case now.Kind == None && s.ESP != "" && s.LacksSystemdBoot(t) == "" && (s.GRUB == nil || s.LacksEFI(t) != ""):
		return Scheme{Kind: Systemd, Entries: s.ESP + entriesDir}
	case s.GRUB == nil:
		return Scheme{Kind: None}
	case s.GRUB.Menu != "":
		return Scheme{Kind: Legacy, Config: path.Join(s.GRUB.Dir, "grub.cfg")}
	case now.Kind == BLS:
		return now
	}
	return Scheme{Kind: Mkconfig, Config: path.Join(s.GRUB.Dir, "grub.cfg")}
}

// grubSetup sets GRUB up on an image.
type grubSetup struct {
	Target
	Setup
}

// programs puts GRUB's programs in their places, so that what generates its configuration finds all.
func (g grubSetup) programs(ctx context.Context) error {
	if err := g.Target.Root.MkdirAll(g.GRUB.Dir, 0o755); err != nil {
		return err
	}
	if g.ESP != "" {
		if err := g.installEFI(); err != nil {
			return err
		}
	}
	if g.BIOS != nil {
		if err := InstallBIOS(ctx, g.Target, g.Setup); err != nil {
			return err
		}
	}
	env, err := grub.NewEnv().Bytes()
	if err != nil {
		return err
	}
	return g.Target.Root.WriteFile(g.GRUB.Dir+"/grubenv", env, 0o644)
}

// LacksEFI names an EFI program that is nowhere, or is empty. Where the distribution's packages
// keep them outside the partition, they must be there; elsewhere on the partition.
func (s Setup) LacksEFI(t Target) string {
	for _, p := range s.GRUB.Programs {
		if from := s.Fill(p.From); !t.Root.Exists(from) {
			return from
		}
	}
	if len(s.GRUB.Programs) > 0 {
		return ""
	}
	for _, name := range []string{s.Fill("boot@ARCH@.efi"), s.Fill("grub@ARCH@.efi")} {
		if !s.onESP(t, "EFI/BOOT", name) && !s.onESP(t, "EFI/fedora", name) {
			return path.Join(s.ESP, "EFI/BOOT", name)
		}
	}
	return ""
}

// onESP looks for a file by a name in either case, as FAT does.
func (s Setup) onESP(t Target, dir, name string) bool {
	entries, _ := t.Root.ReadDir(path.Join(s.ESP, dir))
	if len(entries) == 0 {
		entries, _ = t.Root.ReadDir(path.Join(s.ESP, strings.ToLower(dir)))
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.EqualFold(e.Name(), name) })
}

// LacksBIOS names what is missing for BIOS.
func (Setup) LacksBIOS(t Target) string {
	if t.program("grub-mkimage", "grub2-mkimage") == "" {
		return "grub-mkimage"
	}
	for _, f := range []string{"boot.img", "normal.mod"} {
		if !t.Root.Exists(path.Join(biosModules, f)) {
			return path.Join(biosModules, f)
		}
	}
	return ""
}

func (t Target) program(names ...string) string {
	for _, n := range names {
		if t.Programs.Has(n) {
			return n
		}
	}
	return ""
}

// installEFI puts the programs of the image's packages and the configuration that leads to GRUB's own
// on the EFI system partition.
func (g grubSetup) installEFI() error {
	if missing := g.LacksEFI(g.Target); missing != "" {
		return fmt.Errorf("the image has no EFI boot loader: %s is missing; install %s", missing, g.Fill(strings.Join(g.GRUB.EFIPackages, " and ")))
	}
	for _, p := range g.GRUB.Programs {
		data, err := g.Target.Root.ReadAs(rootfs.Program, g.Fill(p.From))
		if err != nil {
			return err
		}
		for _, to := range p.To {
			if err := g.writeOnESP(g.ESP, g.Fill(to), data); err != nil {
				return err
			}
		}
	}
	for _, s := range g.GRUB.Stubs {
		if err := g.writeOnESP(g.ESP, s, []byte(g.Fill(g.GRUB.Stub))); err != nil {
			return err
		}
	}
	if !g.GRUB.EFIModules {
		return nil
	}
	return g.copyModules("/usr/lib/grub/"+g.Fill("@TARGET@"), g.GRUB.Dir)
}

// writeOnESP writes a file under the name it has already, if in another case.
func (t Target) writeOnESP(dir, name string, data []byte) error {
	file := t.OnESP(dir, name)
	if err := t.Root.MkdirAll(path.Dir(file), 0o755); err != nil {
		return err
	}
	return t.Root.WriteFile(file, data, 0o644)
}

// OnESP is the path of a file on a FAT filesystem that is mounted at a directory, under the name that it has already.
func (t Target) OnESP(dir, name string) string {
	for part := range strings.SplitSeq(name, "/") {
		dir = path.Join(dir, t.existing(dir, part))
	}
	return dir
}

func (t Target) existing(dir, name string) string {
	entries, _ := t.Root.ReadDir(dir)
	for _, e := range entries {
		if strings.EqualFold(e.Name(), name) {
			return e.Name()
		}
	}
	return name
}

// copyModules copies GRUB's modules to where its configuration loads them from. An image without them
// has them in its EFI program.
func (t Target) copyModules(from, dir string) error {
	entries, err := t.Root.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	to := path.Join(dir, path.Base(from))
	if err := t.Root.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if ext := path.Ext(e.Name()); ext != ".mod" && ext != ".lst" {
			continue
		}
		data, err := t.Root.ReadAs(rootfs.Program, path.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if err := t.Root.WriteFile(path.Join(to, e.Name()), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// defaults writes a new /etc/default/grub.
func (g grubSetup) defaults(config string) error {
	text := []byte(g.Fill(g.GRUB.Defaults))
	if g.GRUB.Defaults == "" {
		var err error
		if text, err = g.Target.Root.ReadFile(g.GRUB.DefaultsFile); err != nil {
			return fmt.Errorf("the image lacks what its /etc/default/grub is made from: %w", err)
		}
	}
	if err := g.Target.Root.WriteFile(defaultsFile, text, 0o644); err != nil {
		return err
	}
	if g.RootPart == "" {
		return nil
	}
	return forceRoot(g.Target.Root, config, g.RootPart)
}

// grubFilesystems are GRUB's modules by filesystem.
var grubFilesystems = map[string]string{"ext2": "ext2", "ext3": "ext2", "ext4": "ext2", "xfs": "xfs", "btrfs": "btrfs", "vfat": "fat"}

// InstallBIOS has the image make a core image that finds /boot, and embeds it.
func InstallBIOS(ctx context.Context, t Target, s Setup) error {
	if missing := s.LacksBIOS(t); missing != "" {
		return fmt.Errorf("the image has no GRUB for BIOS: %s is missing; install %s", missing, s.GRUB.BIOSPackage)
	}
	if err := t.copyModules(biosModules, s.GRUB.Dir); err != nil {
		return err
	}
	const early, made = "/tmp/grub-early.cfg", "/tmp/grub-core.img" // a tmpfs
	script := s.Fill("search.fs_uuid @UUID@ root\nset prefix=($root)'@BOOT@/") + path.Base(s.GRUB.Dir) + "'\n"
	if err := t.Root.WriteFile(early, []byte(script), 0o600); err != nil {
		return err
	}
	args := []string{
		"-O", "i386-pc", "-d", biosModules, "-o", made, "-p", s.BootPath + "/" + path.Base(s.GRUB.Dir), "-c", early,
		"biosdisk", "part_gpt", "part_msdos", "search_fs_uuid", grubFilesystems[s.BootType],
	}
	if err := t.Programs.Run(ctx, hostcmd.New(t.program("grub-mkimage", "grub2-mkimage"), args...)); err != nil {
		return err
	}
	core, err := t.Root.ReadAs(rootfs.Program, made)
	if err != nil {
		return err
	}
	image, err := t.Root.ReadAs(rootfs.Program, path.Join(biosModules, "boot.img"))
	if err != nil {
		return err
	}
	if err := grub.EmbedBIOS(t.Disk, image, core, *s.BIOS); err != nil {
		return err
	}
	return errors.Join(t.Root.Remove(early), t.Root.Remove(made))
}
