package distro

import "slices"

var fedora = &Distro{
	Name:   "Fedora",
	ID:     "fedora",
	Tested: "boot loader entries written to the Boot Loader Specification; dnf 4 on RPM images, the real dnf5 and rpm 6 on a userland that does not boot",

	GRUB: fedoraGRUB,
	Filesystems: Features{
		Ext4: append(slices.Clone(ext4Features), "orphan_file"), XFS: append(slices.Clone(xfsFeatures), "nrext64"), Btrfs: btrfsFeatures,
	},
}
