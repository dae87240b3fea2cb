package liveos

import (
	"bytes"
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

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/initramfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/pkgmgr/probe"
	"imagecustomizer/internal/rootfs"
)

// withPrograms makes what the image's programs make. They see a folder where they leave it, and nothing
// else of ours.
func (mk *Maker) withPrograms(ctx context.Context, work *rootfs.Root, specs []Spec) error {
	const inside, name = "/tmp/imagecustomizer-live", "programs" // the former on a filesystem of our own
	if err := errors.Join(work.MkdirAll(name, 0o755), mk.m.Root.MkdirAll(inside, 0o755)); err != nil {
		return err
	}
	left, err := work.Sub(name)
	if err != nil {
		return err
	}
	defer left.Close()
	b := builder{m: mk.m, dir: mk.dir, done: work, left: left, inside: inside}
	return mk.m.WithBind(filepath.Join(mk.dir, name), inside, false, func() error {
		return errors.Join(b.makeInitramfs(ctx, specs), b.makeBIOS(ctx))
	})
}

// builder has the image's programs make files.
type builder struct {
	m      *machine.Machine
	dir    string       // where done lies
	done   *rootfs.Root // for what is finished
	left   *rootfs.Root // folder where programs leave what they make
	inside string       // that folder in the image
}

func initramfsFile(k boot.Kernel) string { return "initramfs-" + k.Version }

// makeInitramfs makes one initramfs a kernel, side by side.
func (b builder) makeInitramfs(ctx context.Context, specs []Spec) error {
	var wanted []Spec
	for _, s := range specs {
		if !s.FullOS {
			wanted = append(wanted, s)
		}
	}
	found, err := kernels(b.m, false)
	if err != nil || len(wanted) == 0 {
		return err
	}
	build := func() error {
		var wg sync.WaitGroup
		errs := make([]error, len(found))
		for i, k := range found {
			wg.Go(func() { errs[i] = b.makeOne(ctx, wanted, k) })
		}
		wg.Wait()
		return errors.Join(errs...)
	}
	if usesLiveBoot(b.m) {
		return build()
	}
	if err := writeModule(b.done); err != nil {
		return err
	}
	return b.m.WithBind(filepath.Join(b.dir, "module"), ourModule, true, build)
}

// makeOne makes the initramfs of a kernel. Dracut has it compressed as it comes, so that it is never there
// without compression, beside the tree it is made of.
func (b builder) makeOne(ctx context.Context, specs []Spec, k boot.Kernel) error {
	if usesLiveBoot(b.m) {
		return b.makeLiveBoot(ctx, k)
	}
	image := initramfs.Piped{Left: b.left, Pipe: "pipe-" + k.Version, Name: "initramfs-" + k.Version, Done: b.done, To: initramfsFile(k)}
	c := dracutCommand(b.m, specs, k, path.Join(b.inside, image.Name), path.Join(b.inside, image.Pipe), b.inside)
	if err := image.Make(ctx, b.m, func() error { return b.m.Run(ctx, c) }); err != nil {
		return fmt.Errorf("make the initramfs of kernel %s: %w", k.Version, err)
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

func dracutCommand(m *machine.Machine, specs []Spec, k boot.Kernel, out, pipe, tmp string) *hostcmd.Cmd {
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
	return hostcmd.New("dracut", "--force", "--no-hostonly", "--compress", "dd bs=1M status=none of="+pipe, "--tmpdir", tmp, "--kver", k.Version,
		"--add", strings.Join(modules, " "), "--add-drivers", strings.Join(has, " "), out)
}

// Our module for dracut keeps the changes of a live system on the USB stick it was started from.
const (
	ourModuleName = "imagecustomizer-persistence"
	ourModule     = "/usr/lib/dracut/modules.d/99" + ourModuleName
)

//go:embed module
var moduleFiles embed.FS

func writeModule(work *rootfs.Root) error {
	entries, err := moduleFiles.ReadDir("module")
	if err != nil {
		return err
	}
	for _, e := range entries {
		data, err := moduleFiles.ReadFile("module/" + e.Name())
		if err != nil {
			return err
		}
		if err := put(work, "module/"+e.Name(), bytes.NewReader(data), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// biosCore are the modules in GRUB's core image for BIOS: what it takes to read a medium. The rest is
// loaded from there.
var biosCore = []string{"biosdisk", "iso9660", "part_msdos", "part_gpt", "normal", "configfile", "search", "search_label", "linux", "echo", "test", "all_video"}

// biosImage is GRUB's core image for El Torito.
const biosImage = "bios.img"

// makeBIOS makes GRUB's core image for BIOS with the image's own program and modules, or with the
// host's where the image has none.
func (b builder) makeBIOS(ctx context.Context) error {
	f := findFirmware(b.m)
	if f.bios == "" {
		return nil
	}
	args := append([]string{"-O", "i386-pc-eltorito", "-d", f.bios, "-p", grubDir(b.m)}, biosCore...)
	if f.hostBIOS {
		b.m.Log.Warn("the image has no GRUB for BIOS; that of this host is used", "package", probe.PackageFor(b.m.Facts, pkgmgr.GRUBForBIOS))
		return hostcmd.New("grub-mkimage", append(args, "-o", filepath.Join(b.dir, biosImage))...).Writing(b.dir).Run(ctx)
	}
	if err := b.m.Run(ctx, hostcmd.New(mkimage(b.m), append(args, "-o", path.Join(b.inside, biosImage))...)); err != nil {
		return err
	}
	return b.left.WithFile(biosImage, func(f *os.File) error { return put(b.done, biosImage, f, 0o644) })
}

// grubDir is GRUB's folder, in the image and on the medium.
func grubDir(m *machine.Machine) string { return path.Dir(m.Facts.Boot.Config) }
