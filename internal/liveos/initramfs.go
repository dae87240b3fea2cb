package liveos

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/initramfs"
	"imagecustomizer/internal/machine"
)

// Prepare makes what takes long of the media: with the image's own programs an initramfs for every
// kernel, and GRUB for BIOS; beside them the packed root filesystems, which do not hold those. All of it
// goes to the folder that Dir names.
func Prepare(ctx context.Context, m *machine.Machine, specs []Spec, now time.Time) error {
	scratch, err := m.Scratch()
	if err != nil {
		return err
	}
	dir := Dir(scratch)
	view := filepath.Join(dir, "view")
	if err := os.MkdirAll(view, 0o755); err != nil {
		return err
	}
	if err := prepareSELinux(ctx, m, specs, dir); err != nil {
		return err
	}
	return m.Image.WithView(view, func() error {
		packed := make(chan error)
		go func() { packed <- packAll(ctx, m, specs, view, dir, now) }()
		return errors.Join(withPrograms(ctx, m, specs, dir), <-packed)
	})
}

// withPrograms makes what the image's programs make.
func withPrograms(ctx context.Context, m *machine.Machine, specs []Spec, dir string) error {
	const inside = "/tmp/imagecustomizer-live" // on a filesystem of our own
	if err := m.Root.MkdirAll(inside, 0o755); err != nil {
		return err
	}
	return m.WithBind(dir, inside, false, func() error {
		return errors.Join(makeInitramfs(ctx, m, specs, dir, inside), makeBIOS(ctx, m, dir, inside))
	})
}

// Dir is the folder of the scratch filesystem where Prepare leaves its results.
func Dir(scratch string) string { return filepath.Join(scratch, "live") }

func initramfsFile(dir string, k boot.Kernel) string {
	return filepath.Join(dir, "initramfs-"+k.Version)
}

// makeInitramfs makes one initramfs a kernel, side by side, without compression, and then compresses
// them in the format that the image uses.
func makeInitramfs(ctx context.Context, m *machine.Machine, specs []Spec, dir, inside string) error {
	var wanted []Spec
	for _, s := range specs {
		if !s.FullOS {
			wanted = append(wanted, s)
		}
	}
	found, err := kernels(m, false)
	if err != nil || len(wanted) == 0 {
		return err
	}
	build := func() error {
		var wg sync.WaitGroup
		errs := make([]error, len(found))
		for i, k := range found {
			wg.Go(func() { errs[i] = makeOne(ctx, m, wanted, k, dir, inside) })
		}
		wg.Wait()
		return errors.Join(errs...)
	}
	if usesLiveBoot(m) {
		return build()
	}
	module := filepath.Join(dir, "module")
	if err := writeModule(module); err != nil {
		return err
	}
	return m.WithBind(module, ourModule, true, build)
}

func makeOne(ctx context.Context, m *machine.Machine, specs []Spec, k boot.Kernel, dir, inside string) error {
	if usesLiveBoot(m) {
		return makeLiveBoot(ctx, m, k, inside)
	}
	out := path.Join(inside, "initramfs-"+k.Version)
	if err := m.Run(ctx, dracutCommand(m, specs, k, out, inside)); err != nil {
		return err
	}
	file := initramfsFile(dir, k)
	if err := initramfs.Recompress(ctx, m, file); err != nil {
		return fmt.Errorf("compress the initramfs of kernel %s: %w", k.Version, err)
	}
	return nil
}

// drivers are what a CD or a USB stick is read with, and what the system on it is made of. Those that
// a kernel lacks, or has built in, are left out.
var drivers = []string{
	"overlay", "loop", "squashfs", "erofs", "isofs", "sr_mod", "cdrom", "sd_mod", "ahci", "virtio_scsi", "virtio_blk",
	"xhci_pci", "ehci_pci", "usb_storage", "uas",
}

// legacyNetwork is dracut's module that brings up the network and then starts the download. With
// systemd-networkd, which dracut prefers where it is installed, nothing starts it.
const legacyNetwork = "network-legacy"

func dracutCommand(m *machine.Machine, specs []Spec, k boot.Kernel, out, tmp string) *hostcmd.Cmd {
	modules := []string{"dmsquash-live"}
	for _, s := range specs {
		if s.Network {
			modules = append(modules, "livenet")
			if moduleFolder(m, legacyNetwork) != "" && m.Has("dhclient") {
				modules = append(modules, legacyNetwork)
			}
		}
		if s.Persistence != "" {
			modules = append(modules, ourModuleName)
		}
	}
	if moduleFolder(m, "selinux") != "" && slices.ContainsFunc(specs, func(s Spec) bool { return s.SELinux }) {
		modules = append(modules, "selinux")
	}
	var has []string
	for _, d := range drivers {
		if hasModule(m, k, d) {
			has = append(has, d)
		}
	}
	return hostcmd.New("dracut", "--force", "--no-hostonly", "--no-compress", "--tmpdir", tmp, "--kver", k.Version,
		"--add", strings.Join(modules, " "), "--add-drivers", strings.Join(has, " "), out)
}

// Our module for dracut keeps the changes of a live system on the USB stick it was started from.
const (
	ourModuleName = "imagecustomizer-persistence"
	ourModule     = "/usr/lib/dracut/modules.d/99" + ourModuleName
)

//go:embed module
var moduleFiles embed.FS

func writeModule(dir string) error {
	entries, err := moduleFiles.ReadDir("module")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		data, err := moduleFiles.ReadFile("module/" + e.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), data, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// biosCore are the modules in GRUB's core image for BIOS: what it takes to read a medium. The rest is
// loaded from there.
var biosCore = []string{"biosdisk", "iso9660", "part_msdos", "part_gpt", "normal", "configfile", "search", "search_label", "linux", "echo", "test", "all_video"}

const (
	biosImage = "bios.img"   // GRUB's core image for El Torito
	hybridMBR = "hybrid.img" // GRUB's boot sector for a medium that is a USB stick
)

// makeBIOS makes GRUB's core image for BIOS with the image's own program and modules, or with the
// host's where the image has none.
func makeBIOS(ctx context.Context, m *machine.Machine, dir, inside string) error {
	f := findFirmware(m)
	if f.bios == "" {
		return nil
	}
	args := append([]string{"-O", "i386-pc-eltorito", "-d", f.bios, "-p", grubDir(m)}, biosCore...)
	if f.hostBIOS {
		m.Log.Warn("the image has no GRUB for BIOS; that of this host is used", "package", packages["GRUB for BIOS"])
		if err := hostcmd.New("grub-mkimage", append(args, "-o", filepath.Join(dir, biosImage))...).Run(ctx); err != nil {
			return err
		}
		return copyFile(biosModules+"/boot_hybrid.img", filepath.Join(dir, hybridMBR))
	}
	if err := m.Run(ctx, hostcmd.New(mkimage(m), append(args, "-o", path.Join(inside, biosImage))...)); err != nil {
		return err
	}
	data, err := m.Root.ReadFile(biosModules + "/boot_hybrid.img")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, hybridMBR), data, 0o644)
}

// grubDir is GRUB's folder, in the image and on the medium.
func grubDir(m *machine.Machine) string { return path.Dir(m.Facts.Boot.Config) }
