// Package liveos makes media that run an image's root filesystem without installing it: ISO images
// for CDs and USB sticks, and folders for booting over the network. Nothing here changes the image:
// programs of the image write to a scratch folder, and the root filesystem is read where it is mounted.
package liveos

import (
	"slices"

	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/machine"
)

// Spec is a medium to be made, as the config says.
type Spec struct {
	Format      string   // of the output
	Network     bool     // it is booted over the network, not from a CD or a USB stick
	FullOS      bool     // the initramfs is the whole system; otherwise it finds the system on the medium
	URL         string   // where a network-booted initramfs gets the medium with the system
	ISOName     string   // what that medium is called in the folder to boot from
	Args        []string // kernel arguments to add
	Files       []File   // to add to the medium
	KeepKdump   bool     // the system keeps its kdump images in /boot
	Persistence string   // label of the filesystem for changes; empty means that they are lost
	SELinux     bool     // the image boots with SELinux
	SELinuxOff  bool     // it must not on the medium
	Filesystem  Filesystem
}

// downloads tells whether the initramfs downloads a medium with the system.
func (s Spec) downloads() bool { return s.Network && !s.FullOS }

// Filesystem is how the root filesystem on the medium is packed.
type Filesystem struct {
	Type  string // squashfs or erofs
	Level int    // of compression
}

// File is a file to add to a medium.
type File struct {
	Source      string  // on the build host
	Content     *string // instead of Source
	Destination string  // from the medium's root
	Mode        fs.FileMode

	medium *medium // that has it at the Destination, instead of Source
}

// Label is the volume label of every medium, by which GRUB and the initramfs find it.
const Label = "CDROM"

// Folders and files of a medium.
const (
	liveDir   = "liveos"
	rootImage = "rootfs.img"
)

// kernels lists the image's kernels that have modules, the newest first, with the paths that they
// and their initramfs images have on the medium.
func kernels(m *machine.Machine, fullOS bool) ([]boot.Kernel, error) {
	found, err := boot.Kernels(m.Root)
	if err != nil {
		return nil, err
	}
	var list []boot.Kernel
	for _, k := range found {
		if k.Modules == "" {
			continue
		}
		switch {
		case fullOS:
			k.Initramfs = "/boot/initrd.img"
		case k.Initramfs == "":
			k.Initramfs = "/boot/initramfs-" + k.Version + ".img"
		}
		list = append(list, k)
	}
	sortKernels(list)
	return list, nil
}

// firmware is what the machine's firmware starts on a medium.
type firmware struct {
	shim, grub, mok string   // EFI programs, in the image; the last is optional
	net             string   // GRUB with network drivers, for distributions that have one apart
	vendors         []string // folders of the image's ESP, where its GRUB may look for its configuration
	bios            string   // folder of GRUB's modules for BIOS; empty without
	hostBIOS        bool     // that folder is the host's
}

// suffix is that of EFI programs for the image's architecture.
func suffix(m *machine.Machine) string {
	if m.Facts.Arch == "aarch64" {
		return "aa64.efi"
	}
	return "x64.efi"
}

// findFirmware looks for the boot programs that the image has, on its ESP first.
func findFirmware(m *machine.Machine) (f firmware) {
	end := suffix(m)
	for _, esp := range []string{"/boot/efi", "/efi", "/boot"} {
		efi := child(m, esp, "EFI")
		if efi == "" || child(m, efi, "EFI") != "" { // the second: /boot/efi is a mount point
			continue
		}
		f.vendors = append(f.vendors, folders(m, efi)...)
		for _, dir := range append([]string{child(m, efi, "BOOT")}, below(efi, folders(m, efi))...) {
			f.take(child(m, dir, "boot"+end), child(m, dir, "grub"+end), child(m, dir, "mm"+end))
			f.take(child(m, dir, "shim"+end), child(m, dir, "grub"+end), child(m, dir, "mm"+end))
		}
	}
	name := strings.TrimSuffix(end, ".efi")
	arch := map[string]string{"x64.efi": "x86_64", "aa64.efi": "arm64"}[end]
	f.take(existing(m, "/usr/lib/shim/shim"+end+".signed"), existing(m, "/usr/lib/grub/"+arch+"-efi-signed/grub"+name+".efi.signed"),
		existing(m, "/usr/lib/shim/mm"+end+".signed"))
	f.net = existing(m, "/usr/lib/grub/"+arch+"-efi-signed/grubnet"+name+".efi.signed")
	if name == "x64" {
		f.findBIOS(m)
	}
	return f
}

// take keeps a pair of programs if both are there and none was found before.
func (f *firmware) take(shim, grub, mok string) {
	if f.shim == "" && shim != "" && grub != "" {
		f.shim, f.grub, f.mok = shim, grub, mok
	}
}

const biosModules = "/usr/lib/grub/i386-pc"

// findBIOS looks for GRUB's modules for BIOS in the image, together with the program that links them, then on the host.
func (f *firmware) findBIOS(m *machine.Machine) {
	switch {
	case m.Root.Exists(biosModules+"/boot_hybrid.img") && mkimage(m) != "":
		f.bios = biosModules
	case hostfs.Exists(biosModules + "/boot_hybrid.img"):
		f.bios, f.hostBIOS = biosModules, true
	}
}

// mkimage is the image's program that makes GRUB's core image.
func mkimage(m *machine.Machine) string {
	for _, p := range []string{"grub-mkimage", "grub2-mkimage"} {
		if m.Has(p) {
			return p
		}
	}
	return ""
}

// child is the path of a folder's entry whatever its case, as FAT has it; empty where there is none.
func child(m *machine.Machine, dir, name string) string {
	if dir == "" {
		return ""
	}
	entries, _ := m.Root.ReadDir(dir)
	for _, e := range entries {
		if strings.EqualFold(e.Name(), name) {
			return path.Join(dir, e.Name())
		}
	}
	return ""
}

func below(dir string, names []string) (paths []string) {
	for _, n := range names {
		paths = append(paths, path.Join(dir, n))
	}
	return paths
}

func folders(m *machine.Machine, dir string) (names []string) {
	entries, _ := m.Root.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func existing(m *machine.Machine, name string) string {
	if m.Root.Exists(name) {
		return name
	}
	return ""
}

// moduleFolder is dracut's folder of a module, whatever its number; empty where the image lacks it.
func moduleFolder(m *machine.Machine, name string) string {
	const dir = "/usr/lib/dracut/modules.d"
	entries, _ := m.Root.ReadDir(dir)
	for _, e := range entries {
		if ok, _ := filepath.Match("[0-9][0-9]"+name, e.Name()); ok {
			return path.Join(dir, e.Name())
		}
	}
	return ""
}

// sortKernels puts the newest kernel first.
func sortKernels(list []boot.Kernel) {
	slices.SortFunc(list, func(a, b boot.Kernel) int { return boot.CompareVersions(b.Version, a.Version) })
}
