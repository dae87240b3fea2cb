package distro

var ubuntu = &Distro{
	Name:     "Ubuntu 22.04 and 24.04",
	ID:       "ubuntu",
	Versions: []string{"22.04", "24.04"},
	Tested:   "Debian's mechanisms; a Debian image that calls itself Ubuntu",

	GRUB:        debianGRUB("ubuntu"),
	Filesystems: oldest,

	GenericKernel: "linux-image-generic",
}
