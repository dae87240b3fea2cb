package verify

import (
	"slices"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/kmod"
)

// need is something that a system needs at boot besides its init.
type need struct {
	what   string
	paths  []string // where it may be
	is     thing
	always func(*system) bool // tells whether this system needs it; nil where all do
	boots  func(*system) bool // tells whether the system boots without; nil where none does
	why    string             // what becomes of a system without
}

// needed is what packages, or scripts, take away that no other check misses.
var needed = []need{
	{what: "directory for devices", paths: []string{"/dev"}, is: aDirectory, why: "the kernel and the initramfs mount devices there, and nothing boots without"},
	{what: "directory for what the kernel tells", paths: []string{"/proc"}, is: aDirectory, why: "init mounts a filesystem of the kernel there, and stops where it cannot"},
	{what: "directory for what the kernel tells of devices", paths: []string{"/sys"}, is: aDirectory, why: "init mounts a filesystem of the kernel there, and stops where it cannot"},
	{what: "directory for files of the running system", paths: []string{"/run"}, is: aDirectory, why: "init mounts a tmpfs there, and stops where it cannot"},
	{
		what: "list of accounts", paths: []string{"/etc/passwd"}, is: aFile,
		boots: func(s *system) bool { return s.unstartable("/usr/bin/systemd-sysusers") == "" }, // which makes it
		why:   "services with an account of their own do not start, and nobody can log in",
	},
	{
		what: "udev", paths: []string{"/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd", "/sbin/udevd"}, is: aProgram,
		always: (*system).hasSystemd, boots: (*system).waitsForNothing,
		why: "systemd waits for the devices of /etc/fstab until udev tells of them, and stops in its emergency mode; drivers for devices are not loaded",
	},
	{
		what: "program mount", paths: []string{"/usr/bin/mount", "/bin/mount"}, is: aProgram,
		always: (*system).hasSystemd, boots: (*system).waitsForNothing,
		why: "systemd mounts what /etc/fstab names with it, and stops in its emergency mode where it cannot",
	},
	{
		what: "program modprobe", paths: []string{"/sbin/modprobe", "/usr/sbin/modprobe", "/bin/modprobe", "/usr/bin/modprobe"}, is: aProgram,
		always: func(s *system) bool { return len(s.kernels) > 0 }, boots: (*system).mountsWithoutModules,
		why: "the kernel loads the drivers of the filesystems in /etc/fstab with it",
	},
	{
		what: "program that makes an initramfs", paths: initramfsMakers, is: aProgram,
		always: func(s *system) bool {
			return slices.ContainsFunc(s.kernels, func(k boot.Kernel) bool { return k.Initramfs != "" })
		},
		boots: func(*system) bool { return true }, why: "the next kernel that is installed gets none",
	},
}

var initramfsMakers = []string{
	"/usr/sbin/update-initramfs", "/usr/sbin/mkinitramfs", "/usr/bin/dracut", "/usr/sbin/dracut", "/sbin/dracut", "/usr/bin/mkinitrd", "/usr/sbin/mkinitrd",
	"/sbin/mkinitrd", "/usr/bin/mkinitcpio", "/usr/bin/mkosi-initrd", "/usr/bin/ukify", "/usr/bin/booster",
}

// thing is what a path must lead to.
type thing int

const (
	aDirectory thing = iota
	aFile
	aProgram // that can be started
)

// lacks says what is wrong with a path, or "".
func (n need) lacks(s *system, name string) string {
	switch {
	case n.is == aProgram:
		return s.unstartable(name)
	case n.is == aDirectory && s.Root.IsDir(name), n.is == aFile && s.Root.Exists(name):
		return ""
	}
	return notThere
}

// parts checks what a system needs at boot besides its init.
func parts(s *system, found *list) {
	for _, n := range needed {
		if n.always != nil && !n.always(s) || slices.ContainsFunc(n.paths, func(name string) bool { return n.lacks(s, name) == "" }) {
			continue
		}
		text := "there is no " + n.what
		if wrong := n.lacks(s, n.paths[0]); wrong != notThere {
			text = wrong + ", and there is no other " + n.what
		}
		found.add(Finding{File: n.paths[0], Text: text + ": " + n.why, Warning: n.boots != nil && n.boots(s)})
	}
}

// mountedAtBoot are the lines of fstab that a boot stops without, but for the root, which the initramfs mounts.
func (s *system) mountedAtBoot() (list []disk.Claim) {
	for _, c := range s.claims {
		if (c.Use == disk.Mount || c.Use == disk.Swap) && !c.Optional() && c.Target != "/" {
			list = append(list, c)
		}
	}
	return list
}

func (s *system) waitsForNothing() bool { return len(s.mountedAtBoot()) == 0 }

// mountsWithoutModules tells whether the kernels have what fstab mounts in themselves, or have loaded it for the root.
func (s *system) mountsWithoutModules() bool {
	root := s.mountOf("/").Volume.Content.Type
	for _, k := range s.kernels {
		modules := s.modulesOf(k.Modules)
		for _, c := range s.mountedAtBoot() {
			if c.Use == disk.Mount && c.Volume != nil && c.Volume.Content.Type != root && modules.Loadable[kmod.Name(c.Volume.Content.Type)] {
				return false
			}
		}
	}
	return true
}
