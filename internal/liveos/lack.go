package liveos

import (
	"fmt"
	"path"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
)

// Lack is something that a medium needs and the image or the host does not have.
type Lack struct {
	What    string
	Package string // of the image, that brings it; empty where none does
	Hint    string
}

// packages maps what may be missing to the packages that bring it, of Debian and of distributions
// with RPM.
var packages = map[string][2]string{
	"the program dracut":                        {"dracut", "dracut"},
	"dracut's module dmsquash-live":             {"dracut-live", "dracut-live"},
	"dracut's module livenet":                   {"dracut-network", "dracut-network"},
	"live-boot":                                 {"live-boot", ""},
	"the program dmsetup":                       {"dmsetup", "device-mapper"},
	"the program tar":                           {"tar", "tar"},
	"the program busybox":                       {"busybox", ""},
	"the program curl":                          {"curl", "curl"},
	"the program sfdisk":                        {"fdisk", "util-linux"},
	"the program mkfs.ext4":                     {"e2fsprogs", "e2fsprogs"},
	"the EFI programs of shim and GRUB":         {"shim-signed and grub-efi-amd64-signed", "shim and grub2-efi-binary (shim-x64 and grub2-efi-x64 on Fedora)"},
	"GRUB for BIOS":                             {"grub-pc-bin", "grub2-pc"},
	"a kernel with its modules in /lib/modules": {"linux-image-amd64", "kernel"},
}

// Lacks lists what is missing for a medium, all at once.
func Lacks(m *machine.Machine, s Spec) []Lack {
	c := lackCheck{m: m}
	c.kernels(s)
	if !s.FullOS {
		c.builder(s)
	}
	c.firmware(s)
	c.host(s)
	return c.found
}

type lackCheck struct {
	m     *machine.Machine
	found []Lack
}

func (c *lackCheck) need(ok bool, what string) {
	if ok {
		return
	}
	p := packages[what][1]
	if c.m.Facts.PackageManager == "apt" {
		p = packages[what][0]
	}
	l := Lack{What: "the image has no " + strings.TrimPrefix(strings.TrimPrefix(what, "the "), "a "), Package: p}
	if p != "" {
		l.Hint = "add the package " + p + " to os.packages.install"
	}
	c.found = append(c.found, l)
}

func (c *lackCheck) programs(names ...string) {
	for _, n := range names {
		c.need(c.m.Has(n), "the program "+n)
	}
}

// builder checks what makes the initramfs that finds the system on the medium.
func (c *lackCheck) builder(s Spec) {
	if usesLiveBoot(c.m) {
		c.liveBoot(s)
		return
	}
	c.programs("dracut", "dmsetup", "tar")
	c.need(moduleFolder(c.m, "dmsquash-live") != "", "dracut's module dmsquash-live")
	if s.Filesystem.Type == "erofs" && !readsEROFS(c.m) {
		c.found = append(c.found, Lack{What: "dracut of the image starts live systems from squashfs only", Hint: "remove iso.rootFilesystem.type"})
	}
	if s.Network {
		c.programs("curl")
		c.need(moduleFolder(c.m, "livenet") != "", "dracut's module livenet")
	}
	if s.Persistence != "" {
		c.programs("sfdisk", "mkfs.ext4")
	}
}

// readsEROFS tells whether dracut of the image starts live systems from erofs.
func readsEROFS(m *machine.Machine) bool {
	script, _ := m.Root.ReadFile(path.Join(moduleFolder(m, "dmsquash-live"), "dmsquash-live-root.sh"))
	return strings.Contains(string(script), "erofs")
}

// kernels checks that every kernel can run a live system.
func (c *lackCheck) kernels(s Spec) {
	found, _ := kernels(c.m, s.FullOS)
	c.need(len(found) > 0, "a kernel with its modules in /lib/modules")
	if s.FullOS {
		return
	}
	c.hardware(found, s)
	for _, k := range found {
		for _, module := range []string{"overlay", "loop", "isofs", s.Filesystem.Type} {
			if !hasModule(c.m, k, module) {
				c.found = append(c.found, Lack{
					What: fmt.Sprintf("the kernel %s has no %s", k.Version, module),
					Hint: "install a kernel that has it, such as the distribution's generic one",
				})
			}
		}
	}
}

func (c *lackCheck) firmware(s Spec) {
	f := findFirmware(c.m)
	hasEFI := len(f.vendors) > 0 // something for UEFI, so the medium must start there too
	switch scheme := c.m.Facts.Boot; {
	case scheme.Kind == boot.UKI:
		c.found = append(c.found, Lack{What: "the image boots unified kernel images, of which no live medium can be made"})
	case scheme.Config == "":
		c.found = append(c.found, Lack{What: "the image is not booted by GRUB, which a live medium needs"})
	case f.shim == "" && (hasEFI || s.Network || f.bios == ""):
		c.need(false, "the EFI programs of shim and GRUB")
	}
}

// host checks the programs of the build host.
func (c *lackCheck) host(s Spec) {
	programs := map[string]string{"xorriso": "xorriso", "mcopy": "mtools", "mkfs.vfat": "dosfstools"}
	if !s.FullOS {
		programs[packers[s.Filesystem.Type]] = s.Filesystem.Type + " tools"
	}
	for p, from := range programs {
		if !hostcmd.Installed(p) {
			c.found = append(c.found, Lack{What: "this host has no program " + p, Hint: "install " + from + " on the build host"})
		}
	}
}

// hasModule tells whether a kernel has the module or has it built in.
func hasModule(m *machine.Machine, k boot.Kernel, name string) bool {
	return boot.ReadModules(m.Root, k.Modules).Has(name)
}
