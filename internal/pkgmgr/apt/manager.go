// Package apt is the package manager of Debian's family: apt-get, on dpkg's database.
package apt

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/rootfs"
)

// Database is dpkg's.
type Database struct{}

// Rules tells whether dpkg installed the system: its database lists dpkg itself.
func (Database) Rules(root *rootfs.Root) (is bool) {
	_ = eachInstalled(root, func(s *stanza) { is = is || string(s.name) == "dpkg" })
	return is
}

// Records are dpkg's.
func (Database) Records() []string { return []string{dpkgStatus, dpkgInfo} }

// Installed reads the database. No program of the image runs for that.
func (Database) Installed(_ context.Context, m *machine.Machine) (list []pkgmgr.Package, err error) {
	err = eachInstalled(m.Root, func(s *stanza) {
		kib, _ := strconv.ParseInt(string(s.size), 10, 40) // 0 where it is not said
		list = append(list, pkgmgr.Package{
			Name: string(s.name), Version: string(s.version), Arch: string(s.arch), Vendor: string(s.maintainer), Size: kib << 10,
		})
	})
	return list, err
}

// Owner looks through dpkg's lists of files.
func (Database) Owner(_ context.Context, m *machine.Machine, name string) (string, error) {
	entries, err := m.Root.ReadDir(dpkgInfo)
	for _, e := range entries {
		if list, is := strings.CutSuffix(e.Name(), ".list"); is && holdsLine(m.Root, dpkgInfo+"/"+e.Name(), name) {
			list, _, _ = strings.Cut(list, ":") // the architecture
			return list, nil
		}
	}
	return "", err
}

// Manager is apt.
type Manager struct{ Database }

// Name is what people call it.
func (Manager) Name() string { return "apt" }

// Format is Debian's.
func (Manager) Format() pkgmgr.Format { return pkgmgr.Deb }

// In tells whether the image has apt.
func (Manager) In(root *rootfs.Root) bool { return machine.FindProgram(root, "apt-get") != "" }

var needs = map[pkgmgr.Need]string{
	pkgmgr.Dracut:        "dracut",
	pkgmgr.DracutLive:    "dracut-live",
	pkgmgr.DracutNetwork: "dracut-network",
	pkgmgr.LiveBoot:      "live-boot",
	pkgmgr.Dmsetup:       "dmsetup",
	pkgmgr.Tar:           "tar",
	pkgmgr.Busybox:       "busybox",
	pkgmgr.Curl:          "curl",
	pkgmgr.Sfdisk:        "fdisk",
	pkgmgr.MkfsExt4:      "e2fsprogs",
	pkgmgr.SignedEFI:     "shim-signed and grub-efi-amd64-signed",
	pkgmgr.GRUBForBIOS:   "grub-pc-bin",
	pkgmgr.Kernel:        "linux-image-amd64",
	pkgmgr.AnyKernel:     "linux-image-",
	pkgmgr.Veritysetup:   "systemd (systemd-cryptsetup since Debian 13)",
	pkgmgr.SELinuxPolicy: "selinux-basics and selinux-policy-default",
	pkgmgr.Locales:       "locales",
	pkgmgr.Keymaps:       "console-setup",
	pkgmgr.Sudo:          "sudo",
	pkgmgr.SSHServer:     "openssh-server",
	pkgmgr.CloudInit:     "cloud-init",
	pkgmgr.Repart:        "systemd-repart (systemd before Debian 13) or cloud-guest-utils",
	pkgmgr.Growpart:      "cloud-guest-utils",
}

// PackageFor names packages as Debian does, but for those that a distribution of its family names otherwise.
func (Manager) PackageFor(f *machine.Facts, n pkgmgr.Need) string {
	if n == pkgmgr.AnyKernel {
		return cmp.Or(distro.GenericKernel(f.OSRelease), needs[n]+debArch(f.Arch))
	}
	return needs[n]
}
