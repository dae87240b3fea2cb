package liveos

import (
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/kmod"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/pkgmgr/probe"
)

// reach is hardware by which a live system gets to what it is made of: it takes one of the drivers.
type reach struct {
	what    string
	drivers []string
}

// mediumHardware is what CDs and USB sticks are read with on the machines that there are. A medium that
// is loaded as a whole, into an initramfs, needs none of it.
var mediumHardware = []reach{
	{"CDs", []string{"sr_mod"}},
	{"SATA controllers", []string{"ahci", "ahci_platform"}},
	{"USB sticks", []string{"usb_storage"}},
	{"USB controllers", []string{"xhci_pci", "xhci_hcd", "xhci_plat_hcd"}},
}

// networkHardware is what a system is loaded with over the network.
var networkHardware = []reach{{"network cards", []string{
	"virtio_net", "e1000e", "e1000", "igb", "igc", "ixgbe", "i40e", "ice", "tg3", "bnxt_en", "bnx2x", "r8169", "mlx4_en", "mlx5_core",
	"hv_netvsc", "vmxnet3", "ena", "gve", "xen_netfront", "atlantic", "be2net", "qede", "mana",
}}}

// hardware checks that a kernel gets to its system. One kernel that does is enough: each has its menu entry.
func (c *lackCheck) hardware(kernels []boot.Kernel, s Spec) {
	needed := mediumHardware
	if s.Network {
		needed = networkHardware
	}
	var none []Lack
	drives := false
	for _, k := range kernels {
		lacks := undriven(kmod.Read(c.m.Root, k.Modules), needed)
		if len(lacks) == 0 {
			drives = true
			continue
		}
		l := Lack{What: "the kernel " + k.Version + " has no drivers for " + strings.Join(lacks, ", "), Package: probe.PackageFor(c.m.Facts, pkgmgr.AnyKernel)}
		l.Hint = "add the package " + l.Package + " to os.packages.install"
		none = append(none, l)
	}
	if !drives {
		c.found = append(c.found, none...)
		return
	}
	for _, l := range none {
		c.m.Log.Warn(l.What + ": its entry on the medium starts on virtual disks only")
	}
}

// undriven lists hardware that a kernel has no driver for, with the first that it lacks.
func undriven(m kmod.Modules, needed []reach) (lacks []string) {
	for _, r := range needed {
		has := false
		for _, d := range r.drivers {
			has = has || m.Has(d)
		}
		if !has {
			lacks = append(lacks, r.what+" ("+r.drivers[0]+")")
		}
	}
	return lacks
}
