package pkgmgr

// Need is something that an image can lack, in words for a person.
type Need string

// What the program may find missing in an image.
const (
	Dracut        Need = "the program dracut"
	DracutLive    Need = "dracut's module dmsquash-live"
	DracutNetwork Need = "dracut's module livenet"
	LiveBoot      Need = "live-boot"
	Dmsetup       Need = "the program dmsetup"
	Tar           Need = "the program tar"
	Busybox       Need = "the program busybox"
	Curl          Need = "the program curl"
	Sfdisk        Need = "the program sfdisk"
	MkfsExt4      Need = "the program mkfs.ext4"
	SignedEFI     Need = "the EFI programs of shim and GRUB"
	GRUBForBIOS   Need = "GRUB for BIOS"
	Kernel        Need = "a kernel with its modules in /lib/modules"
	AnyKernel     Need = "a kernel for any machine"
	Veritysetup   Need = "systemd-veritysetup"
	SELinuxPolicy Need = "an SELinux policy"
	Locales       Need = "locales, or what they are made of"
	Keymaps       Need = "what sets a keymap at boot"
	Sudo          Need = "sudo"
	SSHServer     Need = "sshd"
	CloudInit     Need = "cloud-init"
	Repart        Need = "systemd-repart"
	Growpart      Need = "growpart"
)

// Needs are all of them.
var Needs = []Need{
	Dracut, DracutLive, DracutNetwork, LiveBoot, Dmsetup, Tar, Busybox, Curl, Sfdisk, MkfsExt4, SignedEFI, GRUBForBIOS, Kernel, AnyKernel,
	Veritysetup, SELinuxPolicy, Locales, Keymaps, Sudo, SSHServer, CloudInit, Repart, Growpart,
}
