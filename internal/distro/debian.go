package distro

var debian12 = &Distro{
	Name:     "Debian 12",
	ID:       "debian",
	Versions: []string{"12"},
	Tested:   "real images, booted",

	GRUB:        debianGRUB("debian"),
	Filesystems: common,
}

var debian13 = &Distro{
	Name:     "Debian 13",
	ID:       "debian",
	Versions: []string{"13"},
	Tested:   "real images, booted; Debian's own layout for clouds too",

	GRUB:        debianGRUB("debian"),
	Filesystems: common,
}

var debian11 = &Distro{
	Name:     "Debian 11",
	ID:       "debian",
	Versions: []string{"11"},
	Tested:   "real images, customized and checked; booted with `FULL=1`",

	GRUB:        debianGRUB("debian"),
	Filesystems: oldest,
}

// debianSid has no version in its os-release.
var debianSid = &Distro{
	Name:     "Debian sid",
	ID:       "debian",
	Versions: []string{""},
	Tested:   "real images, customized and checked; booted with `FULL=1`",

	GRUB:        debianGRUB("debian"),
	Filesystems: common,
}
