package distro

var azureLinux3 = &Distro{
	Name:     "Azure Linux 3.0",
	ID:       "azurelinux",
	Versions: []string{"3.0"},
	Tested:   "images laid out like it, made of Debian packages repackaged as RPMs, with a stand-in for tdnf",
}
