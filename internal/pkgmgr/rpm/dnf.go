package rpm

// DNF is dnf 4, the one in Python. On newer systems its name leads to dnf5.
var DNF = &Manager{
	program: "dnf", link: "dnf5",
	conf: "/etc/dnf/dnf.conf", dirKeys: []string{"reposdir"},
	dirs:             []string{"/etc/yum.repos.d", "/etc/yum/repos.d", "/etc/distro.repos.d"},
	enabledByDefault: true, defaultPriority: 99,
	best:   []string{"--setopt=best=1"},
	groups: []string{"group", "list", "installed", "hidden", "ids"},
}
