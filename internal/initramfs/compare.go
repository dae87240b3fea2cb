package initramfs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/kmod"
	"imagecustomizer/internal/machine"
)

// hardware is where the kernel has drivers of what machines differ in: storage, network and consoles.
var hardware = regexp.MustCompile(`^kernel/drivers/(ata|block|cdrom|firewire|gpu|hid|hv|infiniband|input|message|mmc|mtd|net|` +
	`nvdimm|nvme|pci|scsi|tty|ufs|usb|video|virtio|xen)/`)

// vital are drivers that a machine boots with, whatever made its initramfs.
var vital = []string{
	"ahci", "ata_piix", "hv_storvsc", "hv_vmbus", "mmc_block", "nvme", "sd_mod", "uas", "usb_storage", "virtio_blk",
	"virtio_pci", "virtio_scsi", "vmw_pvscsi", "xen_blkfront", "xhci_pci",
}

// compare fails where a new image lacks what the one before it, or those of other kernels, can drive.
func (r *run) compare(ctx context.Context) error {
	changed := r.changed()
	if err := r.complete(changed); err != nil {
		return err
	}
	if len(changed) == 0 {
		return nil
	}
	now := look(ctx, r.m)
	var errs []error
	for _, name := range slices.Sorted(slices.Values(changed)) {
		if i := now[name]; i.Drivers == nil {
			errs = append(errs, fmt.Errorf("%s was made anew and cannot be read: no kernel could boot with it", name))
			continue
		}
		if kdump.MatchString(name) { // fits one machine by intent
			r.m.Log.Warn("the initramfs of a crash kernel has the drivers of the machine that it is made on; make it anew where it is to run", "file", name)
			continue
		}
		errs = append(errs, r.losses(name, now[name]))
	}
	return errors.Join(errs...)
}

// kdump names images for a kernel that only writes a crash dump.
var kdump = regexp.MustCompile(`^/var/lib/kdump/|kdump(\.img)?$`)

// complete fails where an image had to be made anew and was not.
func (r *run) complete(changed []string) error {
	if !r.All {
		return nil
	}
	for name := range r.before {
		if !slices.Contains(changed, name) && !kdump.MatchString(name) && r.m.Root.IsDir("/lib/modules/"+kernelOf(name)) {
			return fmt.Errorf("%s was to be made anew, but its builder ended well and left it as it was: "+
				"is the builder switched off, diverted or replaced by a program that does nothing?", name)
		}
	}
	return nil
}

// kernelOf is the version of the kernel that an image is for.
func kernelOf(name string) string {
	found := imageName.FindStringSubmatch(path.Base(name))
	if found == nil {
		return ""
	}
	return found[2] + found[3] + found[4]
}

// losses fails if a new image lacks drivers that its predecessor had, or for a new kernel those of the others.
func (r *run) losses(name string, now machine.Initramfs) error {
	old, known := r.before[name]
	if !known {
		old = union(r.before)
	}
	if len(old.Drivers) == 0 {
		return nil
	}
	version := kernelOf(name)
	has := kmod.Read(r.m.Root, "/lib/modules/"+version)
	same := old.Builder == now.Builder && r.programs == r.builders()
	var lost, less []string
	for driver, file := range old.Drivers {
		_, still := now.Drivers[driver]
		switch {
		case still || !has.Loadable[driver] || !hardware.MatchString(file):
		case same && !r.omitted(driver) || slices.Contains(vital, driver):
			lost = append(lost, driver)
		default:
			less = append(less, driver)
		}
	}
	if len(less) > 0 {
		slices.Sort(less)
		r.m.Log.Warn("an initramfs drives less than before: what makes it was changed", "file", name, "drivers", shorten(less))
	}
	if len(lost) == 0 {
		return nil
	}
	slices.Sort(lost)
	return fmt.Errorf("%s was made anew without drivers that it had before or that other kernels have (%s): it fits the "+
		"machine it was made on, and would not boot elsewhere; look for MODULES in /etc/initramfs-tools, or for "+
		"hostonly in /etc/dracut.conf.d", name, shorten(lost))
}

// shorten names the vital drivers first, and a few of the others.
func shorten(names []string) string {
	const shown = 12
	var first, rest []string
	for _, n := range names {
		if slices.Contains(vital, n) {
			first = append(first, n)
		} else {
			rest = append(rest, n)
		}
	}
	all := append(first, rest...)
	if more := len(all) - shown; more > 0 {
		all = append(all[:shown:shown], fmt.Sprintf("%d more", more))
	}
	return strings.Join(all, ", ")
}

// union is what any of some images can drive.
func union(images map[string]machine.Initramfs) (all machine.Initramfs) {
	all.Drivers = map[string]string{}
	for name, i := range images {
		if !kdump.MatchString(name) {
			all.Builder = i.Builder
			maps.Copy(all.Drivers, i.Drivers)
		}
	}
	return all
}

// omits are lines by which the image itself has drivers left out.
var omits = regexp.MustCompile(`(?m)^[ \t]*omit_drivers\+?=["']?([^"'\n]*)`)

// omitted tells whether the image's own configuration leaves a driver out.
func (r *run) omitted(driver string) bool {
	for _, b := range builders {
		for _, f := range b.files(r.m) {
			text, err := r.m.Root.ReadFile(f)
			if err != nil {
				continue
			}
			for _, line := range omits.FindAllStringSubmatch(string(text), -1) {
				if slices.ContainsFunc(strings.Fields(line[1]), func(w string) bool { return kmod.Name(w) == driver }) {
					return true
				}
			}
		}
	}
	return false
}
