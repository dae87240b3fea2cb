package verify

import (
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/kargs"
)

// deviceArgs are arguments of the kernel whose value names a partition. The initramfs waits for it.
var deviceArgs = []string{
	"root", "resume", "usr", "mount.usr", "pre.verity.mount",
	"systemd.verity_root_data", "systemd.verity_root_hash", "systemd.verity_usr_data", "systemd.verity_usr_hash",
}

// otherRoots begin the values of root= that no partition of the image is: a network, a live medium, a
// device that the initramfs makes.
var otherRoots = []string{"live:", "tmpfs", "nfs", "dhcp", "iscsi:", "nbd:", "zfs", "/dev/mapper/", "/dev/dm-", "/dev/nfs", "/dev/ram", "gpt-auto", "ramfs"}

// arguments checks the devices that the kernel's arguments name.
func arguments(s *system, found *list) {
	for _, e := range append(slices.Clone(s.ownEntries()), s.laterKernels(found)...) {
		if !s.more(lookup) {
			return
		}
		s.absent(found, e)
		for _, a := range e.Args() {
			key, value := kargs.Name(a), after(a, "=")
			if slices.Contains(deviceArgs, key) && s.more(lookup) && value != "" {
				s.device(found, e, key, value)
			}
			if named, ok := strings.CutPrefix(value, "subvol="); ok && key == "rootflags" {
				s.rootSubvolume(found, e, named)
			}
		}
		if !e.Args().Has("root") && !s.discovers(e) {
			found.warn(e.File, e.Line, "no root= tells the kernel where the root is")
		}
	}
}

// laterKernels is the command line that the entries of later kernels are made with, as an entry.
func (s *system) laterKernels(found *list) []boot.Entry {
	const file = "/etc/kernel/cmdline"
	args, err := kargs.Split(s.setting(file))
	if err != nil {
		found.at(file, 1, "%v", err)
	}
	if len(args) == 0 {
		return nil
	}
	return []boot.Entry{{File: file, Line: 1, Arguments: boot.ArgumentsAt(append(args, "root"), boot.Origin{File: file, Line: 1}), Initrds: []boot.Ref{{}}}}
}

func (s *system) rootSubvolume(found *list, e boot.Entry, named string) {
	named, _, _ = strings.Cut(named, ",")
	if is := s.mountOf("/").Subvolume; is != "" && path.Clean("/"+named) != is {
		found.at(e.File, e.Line, "rootflags= names the subvolume %s, but the files of / lie in %s", named, is)
	}
}

func (s *system) device(found *list, e boot.Entry, key, value string) {
	if strings.Contains(value, "/PARTNROFF=") {
		return // a partition so many numbers behind the one that is named
	}
	if slices.ContainsFunc(otherRoots, func(o string) bool { return strings.HasPrefix(value, o) }) {
		if hash := verityNames[value]; hash != "" && !e.Args().Has(hash) {
			found.at(e.File, e.Line, "%s=%s needs the argument %s=, which is not there", key, value, hash)
		}
		if s.unmappable(e, value) {
			found.at(e.File, e.Line, "%s=%s: nothing in the image could become this device; the boot would wait for it", key, value)
		}
		return
	}
	source := value
	if key == "pre.verity.mount" && !strings.Contains(value, "=") {
		source = "UUID=" + value
	}
	v, err := s.named(source)
	if len(e.Initrds) == 0 && key == "root" {
		v, err = s.oneOf(disk.NamedToKernel(s.Volumes, source), source)
	}
	switch {
	case err != nil:
		found.at(e.File, e.Line, "%s=%s: %v", key, value, err)
	case key == "root" && v.Number != s.mountOf("/").Volume.Number:
		found.at(e.File, e.Line, "root=%s is partition %d, but the root of the system is partition %d", value, v.Number, s.mountOf("/").Volume.Number)
	case key == "resume" && v.Content.Type != "swap":
		found.at(e.File, e.Line, "resume=%s is partition %d, which is no swap", value, v.Number)
	}
	if err == nil && len(e.Initrds) == 0 && !kernelFinds(value) {
		found.at(e.File, e.Line, "%s=%s needs an initramfs, which this entry does not load: the kernel itself knows PARTUUID= and device names only", key, value)
	}
}

// kernelFinds tells whether the kernel finds a device without an initramfs.
func kernelFinds(source string) bool {
	return strings.HasPrefix(source, "PARTUUID=") || strings.HasPrefix(source, "PARTLABEL=") ||
		strings.HasPrefix(source, "/dev/") && !strings.HasPrefix(source, "/dev/disk/") && !strings.HasPrefix(source, "/dev/mapper/")
}

// rootTypes are the partition types by which systemd finds a root on its own (Discoverable Partitions
// Specification).
var rootTypes = map[string]string{
	"x86_64":  "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
	"aarch64": "b921b045-1df0-41c3-af44-4c6f280d3fae",
}

// discovers tells whether the system finds its root without being told.
func (s *system) discovers(e boot.Entry) bool {
	return e.Args().Has("roothash") || slices.ContainsFunc(s.Volumes, func(v disk.Volume) bool { return v.Partition.Type == rootTypes[s.Arch] })
}
