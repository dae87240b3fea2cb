package distro

import "strings"

// GRUB is how a distribution sets up its boot loader.
type GRUB struct {
	Version string // how old it may be
	Vendor  string // component of its SBAT, for distributions that patch their GRUB
	Dir     string // of grub.cfg and what belongs to it

	// Defaults is a new /etc/default/grub, without arguments of the user's; where it is empty, the
	// file DefaultsFile of the image is taken.
	Defaults, DefaultsFile string
	// Menu is a new grub.cfg, where no program generates it.
	Menu string

	// Stubs are configurations on the EFI system partition, all of the text Stub, which lead to grub.cfg.
	Stubs []string
	Stub  string
	// Programs are EFI programs that packages keep outside the partition. Those of other distributions
	// are on it as soon as their packages are installed.
	Programs []EFIProgram
	// EFIModules tells whether GRUB's modules for EFI belong into Dir.
	EFIModules bool

	EFIPackages []string // with the EFI programs
	BIOSPackage string   // with GRUB's modules for BIOS
}

// EFIProgram is where an EFI program is kept, and where on the partition it goes.
type EFIProgram struct {
	From string
	To   []string
}

// In texts and paths of a GRUB value these stand for something of the image.
const (
	GrubUUID  = "@UUID@"  // of the filesystem that holds /boot
	GrubBoot  = "@BOOT@"  // path of /boot in it, empty for its top
	GrubRoot  = "@ROOT@"  // root filesystem, as the argument root of the kernel names it
	GrubArgs  = "@ARGS@"  // kernel arguments of the user's
	GrubLinux = "@LINUX@" // kernel arguments of the system's: those of SELinux
	GrubArch  = "@ARCH@"  // x64 or aa64
)

// Fill puts values into the places of a text.
func Fill(text string, values map[string]string) string {
	for place, v := range values {
		text = strings.ReplaceAll(text, place, v)
	}
	return text
}

// debianGRUB is Debian's, and, with another vendor, Ubuntu's.
func debianGRUB(vendor string) *GRUB {
	signed := func(dir, name string) string { return dir + name + GrubArch + ".efi.signed" }
	return &GRUB{
		Version: "2.06", Vendor: "grub." + vendor, Dir: "/boot/grub", DefaultsFile: "/usr/share/grub/default/grub",
		Stubs: []string{"EFI/" + vendor + "/grub.cfg"},
		Stub:  "search.fs_uuid @UUID@ root\nset prefix=($root)'@BOOT@/grub'\nconfigfile $prefix/grub.cfg\n",
		Programs: []EFIProgram{
			{signed("/usr/lib/shim/", "shim"), []string{"EFI/" + vendor + "/shim@ARCH@.efi", "EFI/BOOT/BOOT@ARCH@.EFI"}},
			{signed("/usr/lib/shim/", "mm"), []string{"EFI/" + vendor + "/mm@ARCH@.efi"}},
			{"/usr/lib/grub/@TARGET@-signed/grub@ARCH@.efi.signed", []string{"EFI/" + vendor + "/grub@ARCH@.efi", "EFI/BOOT/grub@ARCH@.efi"}},
		},
		EFIModules: true, EFIPackages: []string{"shim-signed", "grub-efi-@DEBARCH@-signed"}, BIOSPackage: "grub-pc-bin",
	}
}

// azureGRUB is Azure Linux's, which generates its menu.
var azureGRUB = &GRUB{
	Version: "2.06", Dir: "/boot/grub2",
	Defaults: `GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR="AzureLinux"
GRUB_DISABLE_SUBMENU=y
GRUB_TERMINAL_OUTPUT="console"
GRUB_CMDLINE_LINUX="@LINUX@rd.auto=1 net.ifnames=0 lockdown=integrity"
GRUB_CMDLINE_LINUX_DEFAULT="\$kernelopts"

for file in /etc/default/grub.d/*.cfg; do
	if [ -e "$file" ]; then
		. "$file"
	fi
done
`,
	Stubs:       []string{"boot/grub2/grub.cfg"},
	Stub:        "search -n -u @UUID@ -s\nset prefix=($root)\"@BOOT@/grub2\"\nconfigfile $prefix/grub.cfg\n",
	EFIPackages: []string{"shim", "grub2-efi-binary"}, BIOSPackage: "grub2-pc",
}

// marinerGRUB is that of Mariner 2.0, whose menu reads what packages write next to it.
var marinerGRUB = &GRUB{
	Version: "2.06", Dir: "/boot/grub2",
	Menu: `set timeout=0
set bootprefix=@BOOT@
search -n -u @UUID@ -s

load_env -f $bootprefix/mariner.cfg
if [ -f $bootprefix/mariner-mshv.cfg ]; then
	load_env -f $bootprefix/mariner-mshv.cfg
fi
if [ -f $bootprefix/systemd.cfg ]; then
	load_env -f $bootprefix/systemd.cfg
else
	set systemd_cmdline=net.ifnames=0
fi
if [ -f $bootprefix/grub2/grubenv ]; then
	load_env -f $bootprefix/grub2/grubenv
fi

set rootdevice=@ROOT@

menuentry "CBL-Mariner" {
	linux $bootprefix/$mariner_linux @LINUX@rd.auto=1 root=$rootdevice $mariner_cmdline lockdown=integrity sysctl.kernel.unprivileged_bpf_disabled=1 $systemd_cmdline $kernelopts
	if [ -f $bootprefix/$mariner_initrd ]; then
		initrd $bootprefix/$mariner_initrd
	fi
}
`,
	Stubs:       []string{"boot/grub2/grub.cfg"},
	Stub:        "search -n -u @UUID@ -s\nset bootprefix=@BOOT@\nconfigfile $bootprefix/grub2/grub.cfg\n",
	EFIPackages: []string{"shim", "grub2-efi-binary"}, BIOSPackage: "grub2-pc",
}

// fedoraGRUB is Fedora's, whose menu is made of boot loader entries.
var fedoraGRUB = &GRUB{
	Version: "2.06", Vendor: "grub.fedora", Dir: "/boot/grub2",
	Defaults: `GRUB_TIMEOUT=1
GRUB_DISTRIBUTOR="$(sed 's, release .*$,,g' /etc/system-release)"
GRUB_DEFAULT=saved
GRUB_DISABLE_SUBMENU=true
GRUB_TERMINAL_INPUT="console serial"
GRUB_TERMINAL_OUTPUT="gfxterm serial"
GRUB_CMDLINE_LINUX="@LINUX@"
GRUB_CMDLINE_LINUX_DEFAULT="console=ttyS0 earlyprintk=ttyS0 rd.shell=0"
GRUB_ENABLE_BLSCFG=true
`,
	Stubs:       []string{"EFI/fedora/grub.cfg", "EFI/BOOT/grub.cfg"},
	Stub:        "search --no-floppy --fs-uuid --set=root @UUID@\nset prefix=($root)@BOOT@/grub2\nexport $prefix\nconfigfile $prefix/grub.cfg\n",
	EFIPackages: []string{"shim-x64", "grub2-efi-x64"}, BIOSPackage: "grub2-pc-modules",
}
