package distro

var fedora = &Distro{
	Name:   "Fedora",
	ID:     "fedora",
	Tested: "boot loader entries written to the Boot Loader Specification; dnf 4 on RPM images, dnf 5 by its documentation",
}
