package distro

import "slices"

var azureLinux3 = &Distro{
	Name:     "Azure Linux 3.0",
	ID:       "azurelinux",
	Versions: []string{"3.0"},
	Tested:   "images laid out like it, made of Debian packages repackaged as RPMs, with a stand-in that behaves as tdnf 3.5.8 was measured to",

	GRUB:        azureGRUB,
	LiveSELinux: []Version{{"dracut", "102-11.azl3"}, {"selinux-policy", "2.20240226-9.azl3"}},
	Filesystems: Features{
		Ext4: append(slices.Clone(ext4Features), "orphan_file"), XFS: append(slices.Clone(xfsFeatures), "nrext64"), Btrfs: btrfsFeatures,
	},
}
