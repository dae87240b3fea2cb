package liveos

import (
	"fmt"
	"path"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/kmod"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/pkgmgr/probe"
)

// Lack is something that a medium needs and the image or the host does not have.
type Lack struct {
	What    string
	Package string // of the image, that brings it; empty where none does
	Hint    string
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

func (c *lackCheck) need(ok bool, what pkgmgr.Need) {
	if ok {
		return
	}
	p := probe.PackageFor(c.m.Facts, what)
	l := Lack{What: "the image has no " + strings.TrimPrefix(strings.TrimPrefix(string(what), "the "), "a "), Package: p}
	if p != "" {
		l.Hint = "add the package " + p + " to os.packages.install"
	}
	c.found = append(c.found, l)
}

func (c *lackCheck) programs(names ...string) {
	for _, n := range names {
		c.need(c.m.Has(n), pkgmgr.Need("the program "+n))
	}
}

// builder checks what makes the initramfs that finds the system on the medium.
func (c *lackCheck) builder(s Spec) {
	if usesLiveBoot(c.m) {
		c.liveBoot(s)
		return
	}
	c.programs("dracut", "dmsetup", "tar")
	c.need(moduleFolder(c.m, "dmsquash-live") != "", pkgmgr.DracutLive)
	if s.Filesystem.Type == "erofs" && !readsEROFS(c.m) {
		c.found = append(c.found, Lack{What: "dracut of the image starts live systems from squashfs only", Hint: "remove iso.rootFilesystem.type"})
	}
	if s.Network {
		c.programs("curl")
		c.need(moduleFolder(c.m, "livenet") != "", pkgmgr.DracutNetwork)
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
	c.need(len(found) > 0, pkgmgr.Kernel)
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
		c.need(false, pkgmgr.SignedEFI)
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
	return kmod.Read(m.Root, k.Modules).Has(name)
}
