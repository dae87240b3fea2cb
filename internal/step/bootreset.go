package step

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/grub"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/kargs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
)

// planBoot plans what the kernel arguments and the boot loader become.
func planBoot(c *Config, f *machine.Facts) (plan.Plan, []plan.Problem) {
	if c.OS.Bootloader.ResetType != HardReset {
		return planKernelArgs(c, f)
	}
	s := ResetBoot{Type: c.Storage.BootType, SELinux: c.OS.SELinux.Mode, Packages: c.OS.Packages.allInstall(), UpdateAll: c.OS.Packages.UpdateExisting, Renamed: c.Storage.ResetUUIDs != ""}
	for _, e := range c.OS.KernelCommandLine.Extra {
		more, err := kargs.Split(string(e))
		if err != nil {
			return nil, []plan.Problem{{Step: s.Name(), Text: err.Error()}}
		}
		s.Args = append(s.Args, more...)
	}
	if f.Distro.GRUB == nil {
		return nil, []plan.Problem{{Step: s.Name(), Text: fmt.Sprintf("how the boot loader of %s is set up is not known", f.Distro.Name)}}
	}
	if f.Boot.Kind == boot.UKI {
		return nil, []plan.Problem{{Step: s.Name(), Text: "the image boots unified kernel images, for which there is no boot loader to set up"}}
	}
	return plan.Plan{s}, nil
}

// ResetBoot sets the boot loader up from scratch.
type ResetBoot struct {
	Type      BootType    // empty for however the image boots already
	Args      []string    // the user's kernel arguments
	SELinux   SELinuxMode // empty for that of the image
	Packages  []string    // that the run installs
	UpdateAll bool
	Renamed   bool // the filesystem of /boot, which GRUB's core image for BIOS may name, has another identifier
}

// Name identifies the step.
func (ResetBoot) Name() string { return "bootloader" }

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

// loader is what a reset works with.
type loader struct {
	*machine.Machine
	*distro.GRUB
	boot, root machine.Filesystem
	selinux    []string // kernel arguments
	values     map[string]string
}

// targets are GRUB's names for what it is built for.
var targets = map[string]struct{ efi, deb, letters string }{
	"x86_64": {"x86_64-efi", "amd64", "x64"}, "aarch64": {"arm64-efi", "arm64", "aa64"},
}

const biosModules = "/usr/lib/grub/i386-pc"

func newLoader(m *machine.Machine, args []string, mode SELinuxMode) loader {
	l := loader{Machine: m, GRUB: m.Facts.Distro.GRUB, boot: m.Facts.FilesystemOf("/boot"), root: m.Facts.FilesystemOf("/")}
	t := targets[m.Facts.Arch]
	below := strings.TrimPrefix("/boot", strings.TrimSuffix(l.boot.MountPoint, "/"))
	l.selinux = cmp.Or(mode, SELinuxMode(m.Facts.SELinux)).args()
	linux := strings.Join(l.selinux, " ")
	if linux != "" {
		linux += " "
	}
	l.values = map[string]string{
		distro.GrubUUID: l.boot.UUID, distro.GrubBoot: strings.TrimSuffix(l.boot.Subvolume, "/") + below, distro.GrubRoot: l.rootArgument(),
		distro.GrubLinux: linux, distro.GrubArgs: strings.Join(args, " "), distro.GrubArch: t.letters, "@TARGET@": t.efi, "@DEBARCH@": t.deb,
	}
	return l
}

// rootArgument names the root as /etc/fstab does.
func (l loader) rootArgument() string {
	text, err := l.Root.ReadFile("/etc/fstab")
	if err != nil {
		return "UUID=" + l.root.UUID
	}
	for _, e := range disk.ParseFstab(string(text)).Entries() {
		if e.Target == "/" && (strings.HasPrefix(e.Source, "PARTUUID=") || strings.HasPrefix(e.Source, "PARTLABEL=")) {
			return e.Source
		}
	}
	return "UUID=" + l.root.UUID
}

func (l loader) fill(text string) string { return distro.Fill(text, l.values) }

// esp tells whether the image has an EFI system partition where it belongs.
func (l loader) esp() bool { return l.Facts.FilesystemOf(espMount).MountPoint == espMount }

// biosArea is where the core image for BIOS goes, if there is such a place: a partition for it, or
// what an MBR leaves free before its first partition.
func (l loader) biosArea() (grub.Area, bool) {
	first := int64(0)
	for i, v := range l.Facts.Volumes {
		if v.Partition.Type == disk.TypeBIOSBoot {
			return grub.Area{Start: v.Start, Size: v.Size}, true
		}
		if strings.HasPrefix(v.Partition.Type, "0x") && (i == 0 || v.Start < first) {
			first = v.Start
		}
	}
	const sector = 512
	return grub.Area{Start: sector, Size: first - sector}, first > sector
}

// Check looks whether the boot loader's programs are there, unless the run installs packages.
func (s ResetBoot) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	l := newLoader(m, nil, s.SELinux)
	var problems []plan.Problem
	_, bios := l.biosArea()
	efi := s.Type == BootEFI || s.Type == "" && l.esp()
	bios = s.Type == BootLegacy || s.Type == "" && bios && (!efi || s.Renamed && grub.StartsGRUB(m.Disk))
	if missing := l.missingEFI(); efi && missing != "" && !s.installs(l.EFIPackages, l) {
		problems = append(problems, plan.Problem{
			Text: fmt.Sprintf("the image has no EFI boot loader: %s is missing", missing),
			Hint: "install " + l.fill(strings.Join(l.EFIPackages, " and ")) + " in the same run (os.packages.install)",
		})
	}
	if missing := l.missingBIOS(); bios && missing != "" && !s.installs([]string{l.BIOSPackage}, l) {
		problems = append(problems, plan.Problem{
			Text: fmt.Sprintf("the image has no GRUB for BIOS: %s is missing", missing),
			Hint: "install " + l.BIOSPackage + " in the same run (os.packages.install)",
		})
	}
	if bios && m.Facts.Arch != "x86_64" {
		problems = append(problems, plan.Problem{Text: "there is no BIOS on " + m.Facts.Arch, Hint: "use bootType efi"})
	}
	if efi && !bios && targets[m.Facts.Arch].efi == "" {
		problems = append(problems, plan.Problem{Text: "how " + m.Facts.Arch + " boots is not known"})
	}
	return problems
}

// installs tells whether the run installs one of the packages, or something that may need them.
func (s ResetBoot) installs(names []string, l loader) bool {
	return slices.ContainsFunc(s.Packages, func(p string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(p, l.fill(n)) }) || strings.HasPrefix(p, "grub")
	})
}

// missingEFI names an EFI program that is nowhere, or is empty. Where the distribution's packages
// keep them outside the partition, they must be there; elsewhere on the partition.
func (l loader) missingEFI() string {
	for _, p := range l.Programs {
		if from := l.fill(p.From); !l.Root.Exists(from) {
			return from
		}
	}
	if len(l.Programs) > 0 {
		return ""
	}
	for _, name := range []string{"boot" + l.values[distro.GrubArch] + ".efi", "grub" + l.values[distro.GrubArch] + ".efi"} {
		if !l.hasOnESP("EFI/BOOT", name) && !l.hasOnESP("EFI/fedora", name) {
			return espMount + "/EFI/BOOT/" + name
		}
	}
	return ""
}

// hasOnESP looks for a file by a name in either case, as FAT does.
func (l loader) hasOnESP(dir, name string) bool {
	entries, _ := l.Root.ReadDir(path.Join(espMount, dir))
	if len(entries) == 0 {
		entries, _ = l.Root.ReadDir(path.Join(espMount, strings.ToLower(dir)))
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.EqualFold(e.Name(), name) })
}

// missingBIOS names what is missing for BIOS.
func (l loader) missingBIOS() string {
	if l.program("grub-mkimage", "grub2-mkimage") == "" {
		return "grub-mkimage"
	}
	for _, f := range []string{"boot.img", "normal.mod"} {
		if !l.Root.Exists(path.Join(biosModules, f)) {
			return path.Join(biosModules, f)
		}
	}
	return ""
}

func (l loader) program(names ...string) string {
	for _, n := range names {
		if l.Has(n) {
			return n
		}
	}
	return ""
}

// Run installs the programs, then writes the configuration, so that what generates it finds all.
func (s ResetBoot) Run(ctx context.Context, m *machine.Machine) error {
	l := newLoader(m, s.Args, s.SELinux)
	was, _ := boot.Args(m.Root, m.Facts.Boot) // there may be no boot loader yet
	if err := l.Root.MkdirAll(l.Dir, 0o755); err != nil {
		return err
	}
	area, bios := l.biosArea()
	if l.esp() {
		if err := l.installEFI(); err != nil {
			return err
		}
	}
	if bios && (s.Type == BootLegacy || l.missingBIOS() == "") {
		if err := l.installBIOS(ctx, area); err != nil {
			return err
		}
	}
	env, err := grub.NewEnv().Bytes()
	if err != nil {
		return err
	}
	if err := l.Root.WriteFile(l.Dir+"/grubenv", env, 0o644); err != nil {
		return err
	}
	if err := l.configure(ctx, s.Args); err != nil {
		return err
	}
	warnDropped(m, was)
	return nil
}

// installEFI puts the programs of the image's packages and the configuration that leads to GRUB's own
// on the EFI system partition.
func (l loader) installEFI() error {
	if missing := l.missingEFI(); missing != "" {
		return fmt.Errorf("the image has no EFI boot loader: %s is missing; install %s", missing, l.fill(strings.Join(l.EFIPackages, " and ")))
	}
	for _, p := range l.Programs {
		data, err := l.Root.ReadAs(rootfs.Program, l.fill(p.From))
		if err != nil {
			return err
		}
		for _, to := range p.To {
			if err := l.writeOnESP(l.fill(to), data); err != nil {
				return err
			}
		}
	}
	for _, s := range l.Stubs {
		if err := l.writeOnESP(s, []byte(l.fill(l.Stub))); err != nil {
			return err
		}
	}
	if !l.EFIModules {
		return nil
	}
	return l.copyModules("/usr/lib/grub/" + l.values["@TARGET@"])
}

// writeOnESP writes a file under the name it has already, if in another case.
func (l loader) writeOnESP(name string, data []byte) error {
	dir, base := espMount, path.Base(name)
	for _, part := range strings.Split(path.Dir(name), "/") {
		dir = path.Join(dir, l.existing(dir, part))
	}
	if err := l.Root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return l.Root.WriteFile(path.Join(dir, l.existing(dir, base)), data, 0o644)
}

func (l loader) existing(dir, name string) string {
	entries, _ := l.Root.ReadDir(dir)
	for _, e := range entries {
		if strings.EqualFold(e.Name(), name) {
			return e.Name()
		}
	}
	return name
}

// copyModules copies GRUB's modules to where its configuration loads them from. An image without them
// has them in its EFI program.
func (l loader) copyModules(from string) error {
	entries, err := l.Root.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	to := path.Join(l.Dir, path.Base(from))
	if err := l.Root.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if ext := path.Ext(e.Name()); ext != ".mod" && ext != ".lst" {
			continue
		}
		data, err := l.Root.ReadAs(rootfs.Program, path.Join(from, e.Name()))
		if err != nil {
			return err
		}
		if err := l.Root.WriteFile(path.Join(to, e.Name()), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// configure writes GRUB's configuration.
func (l loader) configure(ctx context.Context, args []string) error {
	config := path.Join(l.Dir, "grub.cfg")
	if l.Menu != "" {
		return l.writeMenu(config, args)
	}
	defaults := []byte(l.fill(l.Defaults))
	if l.Defaults == "" {
		var err error
		if defaults, err = l.Root.ReadFile(l.DefaultsFile); err != nil {
			return fmt.Errorf("the image lacks what its /etc/default/grub is made from: %w", err)
		}
	}
	if err := l.Root.WriteFile("/etc/default/grub", defaults, 0o644); err != nil {
		return err
	}
	scheme := boot.Scheme{Kind: boot.Mkconfig, Config: config}
	for _, v := range l.Facts.Volumes {
		if v.Number == l.root.Partition {
			if err := boot.ForceRoot(l.Root, scheme, v.Partition.UUID); err != nil {
				return err
			}
		}
	}
	if l.Facts.Boot.Kind == boot.BLS {
		scheme = l.Facts.Boot
		root := append([]string{"root=" + l.rootArgument(), "ro"}, l.rootFlags()...)
		if err := boot.ResetEntries(l.Root, scheme, append(root, l.selinux...), l.values[distro.GrubBoot]); err != nil {
			return err
		}
		if err := l.generate(ctx, boot.Scheme{Kind: boot.Mkconfig, Config: config}, nil); err != nil {
			return err
		}
	}
	if err := l.generate(ctx, scheme, args); err != nil {
		return err
	}
	return boot.Verify(l.Root, scheme, args)
}

func (l loader) rootFlags() []string {
	if l.root.Subvolume == "" || l.root.Subvolume == "/" {
		return nil
	}
	return []string{"rootflags=subvol=" + strings.TrimPrefix(l.root.Subvolume, "/")}
}

// generate adds the arguments and has the image make what is generated from them.
func (l loader) generate(ctx context.Context, s boot.Scheme, args []string) error {
	change, err := boot.Edit(l.Root, s, args)
	if err != nil || len(change.Regenerate) == 0 {
		return err
	}
	c := hostcmd.New(change.Regenerate[0], change.Regenerate[1:]...)
	c.Env = append(change.Env, hostcmd.DefaultEnv...)
	return l.Run(ctx, c)
}

// writeMenu writes a menu that is not generated.
func (l loader) writeMenu(config string, args []string) error {
	text := l.fill(l.Menu)
	if flags := l.rootFlags(); len(flags) > 0 {
		args = append(flags, args...)
	}
	if err := l.Root.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	scheme := boot.Scheme{Kind: boot.Legacy, Config: config}
	if _, err := boot.Edit(l.Root, scheme, args); err != nil {
		return err
	}
	return boot.Verify(l.Root, scheme, args)
}

// grubFilesystems are GRUB's modules by filesystem.
var grubFilesystems = map[string]string{"ext2": "ext2", "ext3": "ext2", "ext4": "ext2", "xfs": "xfs", "btrfs": "btrfs", "vfat": "fat"}

// installBIOS has the image make a core image that finds /boot, and embeds it.
func (l loader) installBIOS(ctx context.Context, area grub.Area) error {
	if missing := l.missingBIOS(); missing != "" {
		return fmt.Errorf("the image has no GRUB for BIOS: %s is missing; install %s", missing, l.BIOSPackage)
	}
	if err := l.copyModules(biosModules); err != nil {
		return err
	}
	const early, made = "/tmp/grub-early.cfg", "/tmp/grub-core.img" // a tmpfs
	script := l.fill("search.fs_uuid @UUID@ root\nset prefix=($root)'@BOOT@/") + path.Base(l.Dir) + "'\n"
	if err := l.Root.WriteFile(early, []byte(script), 0o600); err != nil {
		return err
	}
	args := []string{
		"-O", "i386-pc", "-d", biosModules, "-o", made, "-p", l.values[distro.GrubBoot] + "/" + path.Base(l.Dir), "-c", early,
		"biosdisk", "part_gpt", "part_msdos", "search_fs_uuid", grubFilesystems[l.boot.Type],
	}
	if err := l.Run(ctx, hostcmd.New(l.program("grub-mkimage", "grub2-mkimage"), args...)); err != nil {
		return err
	}
	core, err := l.Root.ReadAs(rootfs.Program, made)
	if err != nil {
		return err
	}
	image, err := l.Root.ReadAs(rootfs.Program, path.Join(biosModules, "boot.img"))
	if err != nil {
		return err
	}
	if err := grub.EmbedBIOS(l.Disk, image, core, area); err != nil {
		return err
	}
	return errors.Join(l.Root.Remove(early), l.Root.Remove(made))
}
