package distro

var debian12 = &Distro{
	Name:     "Debian 12",
	ID:       "debian",
	Versions: []string{"12"},
	Tested:   "real images, booted",

	GRUB:        debianGRUB("debian"),
	Filesystems: common,
}
