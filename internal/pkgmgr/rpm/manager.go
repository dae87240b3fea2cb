// Package rpm is the package managers on rpm's database. They take the same commands, and differ in what the
// value of each says, in a file of its own.
package rpm

import (
	"context"
	"path"
	"strconv"
	"strings"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/rootfs"
)

// Database is rpm's.
type Database struct{}

// Rules looks for rpm's database in the forms and places it has had.
func (Database) Rules(root *rootfs.Root) bool {
	for _, dir := range (Database{}).Records() {
		for _, name := range []string{"rpmdb.sqlite", "Packages", "Packages.db"} {
			if fi, err := root.Stat(dir + "/" + name); err == nil && fi.Mode().IsRegular() && fi.Size() > 0 {
				return true
			}
		}
	}
	return false
}

// Records are the places it has had.
func (Database) Records() []string { return []string{"/usr/lib/sysimage/rpm", "/var/lib/rpm"} }

// Installed asks the image's rpm; only it can read a database of its version. Keys are no packages.
func (Database) Installed(ctx context.Context, m *machine.Machine) (list []pkgmgr.Package, err error) {
	if !m.Has("rpm") {
		m.Log.Warn("the image has neither dpkg nor rpm: its list of packages is empty")
		return nil, nil
	}
	err = query(ctx, m, func(f []string) {
		if len(f) == 6 && f[0] != "gpg-pubkey" {
			size, _ := strconv.ParseInt(f[5], 10, 64) // 0 where it is not said
			list = append(list, pkgmgr.Package{Name: f[0], Version: f[1], Release: f[2], Vendor: f[3], Arch: f[4], Size: size})
		}
	}, "-qa", "--qf", `%{NAME}\t%{VERSION}\t%{RELEASE}\t%|VENDOR?{%{VENDOR}}:{}|\t%{ARCH}\t%|LONGSIZE?{%{LONGSIZE}}:{%{SIZE}}|\n`) // a line never ends in what may be empty
	return list, err
}

// Files are not known without running rpm.
func (Database) Files(*machine.Machine, string) []string { return nil }

// Owner asks rpm, which fails where no package has the file.
func (Database) Owner(ctx context.Context, m *machine.Machine, path string) (name string, err error) {
	err = query(ctx, m, func(f []string) { name = f[0] }, "-qf", "--qf", `%{NAME}\n`, "--", path)
	if hostcmd.ExitStatus(err) > 0 {
		return "", nil
	}
	return name, err
}

// query calls use with the fields of each line that rpm prints. It is read line by line: an image may have a database
// of any size.
func query(ctx context.Context, m *machine.Machine, use func(fields []string), args ...string) error {
	c := hostcmd.New("rpm", args...)
	c.Quiet, c.Label = true, "rpm "+args[0]
	return pkgmgr.Watch(ctx, m, c, "", func(text string) { use(strings.Split(text, "\t")) })
}

// Manager is one of them, as data.
type Manager struct {
	Database
	program          string
	link             string   // what the program's name leads to where it is another manager's
	conf             string   // its configuration file
	dirKeys          []string // the settings there that name the directories of .repo files
	dirs             []string // these where none does
	changes          []string // directories of files that override what .repo files say
	enabledByDefault bool     // a repository that does not say so is enabled

	defaultPriority int      // of a repository that says nothing of it
	options         []string // that the others do not need
	best            []string // makes an update that cannot be made an error
	groups          []string // lists the installed groups of packages; nil where it knows none

	ownConf bool // it takes the settings of a session from a configuration file only, and keeps downloads by repository
	compare bool // its downloads are compared with the index for it
}

// Name is what people call it.
func (g *Manager) Name() string { return g.program }

// Format is RPM.
func (g *Manager) Format() pkgmgr.Format { return pkgmgr.RPM }

// In tells whether the image has the program, and that is not another manager's under this name.
func (g *Manager) In(root *rootfs.Root) bool {
	file := machine.FindProgram(root, g.program)
	if real, err := root.Real(file); file != "" && g.link != "" && err == nil {
		return path.Base(real) != g.link
	}
	return file != ""
}

var needs = map[pkgmgr.Need]string{
	pkgmgr.Dracut:        "dracut",
	pkgmgr.DracutLive:    "dracut-live",
	pkgmgr.DracutNetwork: "dracut-network",
	pkgmgr.LiveBoot:      "", // Debian's only
	pkgmgr.Dmsetup:       "device-mapper",
	pkgmgr.Tar:           "tar",
	pkgmgr.Busybox:       "",
	pkgmgr.Curl:          "curl",
	pkgmgr.Sfdisk:        "util-linux",
	pkgmgr.MkfsExt4:      "e2fsprogs",
	pkgmgr.SignedEFI:     "shim and grub2-efi-binary (shim-x64 and grub2-efi-x64 on Fedora)",
	pkgmgr.GRUBForBIOS:   "grub2-pc",
	pkgmgr.Kernel:        "kernel",
	pkgmgr.AnyKernel:     "kernel",
	pkgmgr.Veritysetup:   "systemd-udev or cryptsetup",
	pkgmgr.SELinuxPolicy: "selinux-policy and policycoreutils",
	pkgmgr.Locales:       "glibc-i18n (Azure Linux), or glibc-all-langpacks or that of the language (Fedora)",
	pkgmgr.Keymaps:       "kbd",
	pkgmgr.Sudo:          "sudo",
	pkgmgr.SSHServer:     "openssh-server",
	pkgmgr.CloudInit:     "cloud-init",
	pkgmgr.Repart:        "systemd-udev or cloud-utils-growpart",
	pkgmgr.Growpart:      "cloud-utils-growpart",
}

// PackageFor names packages as distributions with RPM do.
func (g *Manager) PackageFor(_ *machine.Facts, n pkgmgr.Need) string { return needs[n] }
