package boot

import (
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/kargs"
)

// LaterArgs are the kernel arguments of entries that the image makes later.
func LaterArgs(files Files) ([]string, error) {
	text, err := files.ReadFile(kernelCmdline)
	if err != nil {
		return nil, err
	}
	body, _ := withoutComments(string(text), false)
	return kargs.Split(body)
}

// entrysOwn are arguments that a boot loader or an entry adds for itself.
var entrysOwn = []string{"systemd.machine_id", "initrd", "BOOT_IMAGE"}

// UnifiedArgs is the command line for a unified kernel image of a kernel: that of the entry that boots it or, where none
// does, that of the first. What a variable decides when GRUB runs cannot be in it.
func UnifiedArgs(entries []Entry, k Kernel) (string, error) {
	from := entries[0]
	for _, e := range entries {
		if e.boots(k) {
			from = e
			break
		}
	}
	args := slices.DeleteFunc(from.all(), func(a string) bool {
		return slices.Contains(entrysOwn, kargs.Name(a)) || !from.Unified && strings.Contains(a, "$")
	})
	return kargs.Plain.Join(args)
}

// boots tells whether an entry boots a kernel.
func (e Entry) boots(k Kernel) bool {
	if e.Unified {
		return e.Version == k.Version || e.Version == "" && strings.HasSuffix(e.ID, "-"+k.Version)
	}
	return e.kernelVersion() == k.Version || path.Base(e.Kernel.Place.Path) == path.Base(k.Image) && path.Base(k.Image) != "vmlinuz"
}

// EntryFiles are the entries of this system that systemd-boot reads, and the copies of kernels and initramfs images that
// were made for them.
func EntryFiles(files Files, s Scheme) (names []string, err error) {
	entries, err := Normal(files, s)
	if err != nil {
		return nil, err
	}
	esp := systemdBoot{bls{s}}.esp()
	for _, e := range entries {
		names = append(names, e.File)
		for _, r := range append([]Ref{e.Kernel}, e.Initrds...) {
			if strings.Count(path.Clean("/"+r.Place.Path), "/") > 2 { // TOKEN/VERSION/FILE; packages have theirs at the top
				names = append(names, path.Join(esp, r.Place.Path))
			}
		}
	}
	return names, nil
}
