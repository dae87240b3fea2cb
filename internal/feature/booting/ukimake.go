package booting

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/efi"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/uki"
)

// MakeUKIs makes unified kernel images of what the run has left, and has systemd-boot start them.
type MakeUKIs struct{ UKI }

// Name identifies the step.
func (MakeUKIs) Name() string { return "uki" }

func (s MakeUKIs) String() string {
	return "make unified kernel images"
}

// Check finds what the image lacks.
func (s MakeUKIs) Check(_ context.Context, m *machine.Machine) (problems []plan.Problem) {
	lacks := func(later bool, hint, format string, args ...any) {
		problems = append(problems, plan.Problem{Path: "os.uki", Text: fmt.Sprintf(format, args...), Hint: hint, Later: later})
	}
	if efi.Suffix(m.Facts.Arch) == "" {
		lacks(false, "", "there are no unified kernel images for %s", m.Facts.Arch)
		return problems
	}
	const install = "install systemd-boot in the same run; on Debian and Ubuntu systemd-boot-efi has the stub"
	if stub := stubFile(m, "linux"); !m.Root.Exists(stub) {
		lacks(true, install, "the image has nothing to make unified kernel images with: %s is missing", stub)
	}
	if missing := bootSetup(m, nil, "").LacksSystemdBoot(bootTarget(m)); missing != "" && !boot.StartsSystemdBoot(m.Root) {
		lacks(true, install, "the image has no loader that starts unified kernel images: %s is missing", missing)
	}
	return problems
}

// stubFile is where a stub of systemd's is: linux, or addon.
func stubFile(m *machine.Machine, name string) string {
	return "/usr/lib/systemd/boot/efi/" + name + efi.Suffix(m.Facts.Arch) + ".efi.stub"
}

// Run makes the images.
func (s MakeUKIs) Run(ctx context.Context, m *machine.Machine) error {
	esp, err := findESP(m.Facts)
	if err != nil {
		return err
	}
	w := ukiWork{MakeUKIs: s, m: m, esp: esp}
	defer w.close()
	if err := errors.Join(w.gather(), context.Cause(ctx)); err != nil {
		return err
	}
	if err := w.fits(); err != nil {
		return err
	}
	if err := w.removeOld(); err != nil {
		return err
	}
	for _, k := range w.kernels {
		if err := errors.Join(w.write(k), context.Cause(ctx)); err != nil {
			return fmt.Errorf("the unified kernel image of %s: %w", k.version, err)
		}
	}
	return w.installLoader()
}

// ukiWork is what images are made from and where.
type ukiWork struct {
	MakeUKIs
	m   *machine.Machine
	esp espPlace

	stub, addon *io.SectionReader // addon is nil where arguments are embedded
	release     []byte
	kernels     []ukiKernel
	old         []string // files and directories that go
	opened      []func()
}

// ukiKernel is one image to make.
type ukiKernel struct {
	version        string
	kernel, initrd *io.SectionReader
	cmdline        string
}

func (w *ukiWork) close() {
	for _, c := range w.opened {
		c()
	}
}

// open opens a file of the image, to be read while images are made.
func (w *ukiWork) open(name string) (*io.SectionReader, error) {
	r, closes, err := boot.OpenProgram(w.m.Root, name)
	if err == nil {
		w.opened = append(w.opened, closes)
	}
	return r, err
}

// gather finds what images are made of, and what they replace.
func (w *ukiWork) gather() (err error) {
	if w.stub, err = w.open(stubFile(w.m, "linux")); err != nil {
		return err
	}
	if err := w.chooseAddon(); err != nil {
		return err
	}
	if w.release, err = osRelease(w.m); err != nil {
		return err
	}
	scheme, err := boot.Detect(w.m.Root)
	if err != nil {
		return err
	}
	entries, err := w.entries(scheme)
	if err != nil {
		return err
	}
	if err := w.findKernels(entries); err != nil {
		return err
	}
	return w.findOld(scheme)
}

func osRelease(m *machine.Machine) ([]byte, error) {
	data, err := m.Root.ReadFile("/etc/os-release")
	if err != nil {
		return m.Root.ReadFile("/usr/lib/os-release")
	}
	return data, nil
}

// chooseAddon opens what add-ons are made of, where arguments are to be in some.
func (w *ukiWork) chooseAddon() error {
	i, err := uki.Read(w.stub)
	if err != nil {
		return fmt.Errorf("%s: %w", stubFile(w.m, "linux"), err)
	}
	version, file := uki.Stub(i.Base), stubFile(w.m, "addon")
	switch {
	case w.Arguments == UKIEmbedded:
		return nil
	case version < uki.MinAddons:
		w.m.Log.Info("kernel arguments are embedded in the unified kernel images: those of the image's systemd know no add-ons", "systemd", version)
		return nil
	case !w.m.Root.Exists(file):
		w.m.Log.Info("kernel arguments are embedded in the unified kernel images: the image has nothing to make add-ons with", "missing", file)
		return nil
	}
	w.addon, err = w.open(file)
	return err
}

// entries are what the image boots now, the first of them what it boots by itself.
func (w *ukiWork) entries(scheme boot.Scheme) ([]boot.Entry, error) {
	entries, err := boot.Normal(w.m.Root, scheme)
	if err != nil || len(entries) > 0 {
		return entries, err
	}
	args, err := boot.LaterArgs(w.m.Root)
	if err != nil {
		return nil, fmt.Errorf("no boot entry says what kernel arguments the images get (%s), and neither does /etc/kernel/cmdline: %w", scheme, err)
	}
	return []boot.Entry{{Arguments: boot.ArgumentsAt(args, boot.Origin{File: "/etc/kernel/cmdline"})}}, nil
}

// findKernels opens the kernels in /boot, the oldest first.
func (w *ukiWork) findKernels(entries []boot.Entry) error {
	all, err := boot.Kernels(w.m.Root)
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b boot.Kernel) int { return boot.CompareVersions(a.Version, b.Version) })
	var versions []string
	for _, k := range all {
		versions = append(versions, k.Version)
	}
	for _, k := range all {
		if !w.Kernels.wants(k.Version, versions) {
			continue
		}
		if err := w.addKernel(k, entries); err != nil {
			return err
		}
	}
	if len(w.kernels) == 0 {
		return fmt.Errorf("the image has no kernel to make a unified kernel image of; it has: %s", strings.Join(versions, ", "))
	}
	return nil
}

func (w *ukiWork) addKernel(k boot.Kernel, entries []boot.Entry) (err error) {
	u := ukiKernel{version: k.Version}
	if u.kernel, err = w.open(k.Image); err != nil {
		return err
	}
	if k.Initramfs == "" {
		return fmt.Errorf("the kernel %s has no initramfs in /boot: there is neither initramfs-%[1]s.img nor initrd.img-%[1]s", k.Version)
	}
	if u.initrd, err = w.open(k.Initramfs); err != nil {
		return err
	}
	u.cmdline, err = boot.UnifiedArgs(entries, k)
	w.kernels = append(w.kernels, u)
	return err
}

// ukiName is the file name of a kernel's image: systemd-boot sorts by it.
func ukiName(version string) string { return "vmlinuz-" + version + ".efi" }

// write makes an image, and the add-on with its arguments.
func (w *ukiWork) write(k ukiKernel) error {
	parts := uki.Parts{
		Stub: w.stub, Kernel: k.kernel, Initrds: []*io.SectionReader{k.initrd}, OSRelease: w.release, Version: k.version, Cmdline: k.cmdline,
	}
	if w.addon != nil {
		parts.Cmdline = ""
	}
	built, err := uki.Build(parts)
	if err != nil {
		return err
	}
	file := w.path("EFI/Linux/" + ukiName(k.version))
	if err := w.put(file, built.Reader); err != nil {
		return err
	}
	w.m.Log.Info("made a unified kernel image", "file", file, "MiB", built.Size>>20, "arguments", k.cmdline)
	if w.addon == nil {
		return nil
	}
	addon, err := uki.Addon(w.addon, k.version, k.cmdline)
	if err != nil {
		return err
	}
	return w.put(boot.OwnAddon(file), addon.Reader)
}

// put writes a file of the EFI system partition.
func (w *ukiWork) put(file string, data io.Reader) error {
	if err := w.m.Root.MkdirAll(path.Dir(file), 0o755); err != nil {
		return err
	}
	return w.m.Root.CopyFrom(data, file, 0o644)
}

// path is that of a file on the EFI system partition, in the case in which it is there already.
func (w *ukiWork) path(name string) string { return bootTarget(w.m).OnESP(w.esp.Mount, name) }

// installLoader puts systemd-boot where firmware looks, unless it is there.
func (w *ukiWork) installLoader() error {
	if boot.StartsSystemdBoot(w.m.Root) {
		return nil
	}
	setup := bootSetup(w.m, nil, "")
	setup.ESP = w.esp.Mount
	return setup.InstallSystemdBoot(bootTarget(w.m))
}

// findOld lists the images that the new ones replace, and warns of none but those that stay.
func (w *ukiWork) findOld(scheme boot.Scheme) error {
	menu, err := boot.Scheme{Kind: boot.UKI}.Loader().Entries(w.m.Root)
	if err != nil {
		return err
	}
	for _, e := range menu.Entries {
		own, err := w.isOwn(e)
		switch {
		case err != nil:
			return err
		case own:
			w.old = append(w.old, e.File, boot.AddonDir(e.File))
		default:
			w.m.Log.Info("a unified kernel image of another system stays", "file", e.File)
		}
	}
	if scheme.Kind == boot.Systemd {
		copies, err := boot.EntryFiles(w.m.Root, scheme)
		w.old = append(w.old, copies...)
		return err
	}
	return nil
}

// isOwn tells whether an image is one of this system: of a kernel that it has or had, or of its release where nothing
// says which kernel it is.
func (w *ukiWork) isOwn(e boot.Entry) (own bool, err error) {
	r, err := w.open(e.File)
	if err != nil {
		return false, err
	}
	i, err := uki.Read(r)
	if err != nil {
		return false, nil // nothing that this system has made
	}
	same := bytes.Equal(idOf(i.Text(".osrel")), idOf(string(w.release)))
	if e.Version == "" {
		return same, nil
	}
	known := slices.Concat(w.m.Facts.Modules, boot.ModuleVersions(w.m.Root))
	return same && slices.Contains(known, e.Version), nil
}

// idOf is the line of an os-release that names the system.
func idOf(release string) []byte {
	for line := range strings.Lines(release) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "ID="); ok {
			return []byte(strings.Trim(id, `"'`))
		}
	}
	return nil
}

// removeOld makes room.
func (w *ukiWork) removeOld() error {
	for _, name := range w.old {
		if !w.m.Root.Exists(name) {
			continue
		}
		if err := w.m.Root.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}

// fits fails where the EFI system partition has no room for the images.
func (w *ukiWork) fits() error {
	var need int64
	for _, k := range w.kernels {
		need += ukiSize(k.kernel.Size(), k.initrd.Size(), w.stub.Size())
	}
	return w.esp.fits(w.m, need, len(w.kernels), w.old)
}

// ukiSize is what an image takes at most, with its add-on.
func ukiSize(kernel, initrd, stub int64) int64 { return kernel + initrd + stub + 128<<10 }
