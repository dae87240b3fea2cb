package distro

var mariner2 = &Distro{
	Name:     "Mariner 2.0",
	ID:       "mariner",
	Versions: []string{"2.0"},
	Tested:   "images laid out like it, made of Debian packages repackaged as RPMs, with a stand-in that behaves as tdnf 3.5.2 was measured to",

	GRUB:        marinerGRUB,
	Filesystems: common,
	LiveSELinux: azureLinux3.LiveSELinux,
}
