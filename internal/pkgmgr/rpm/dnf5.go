package rpm

// DNF5 is the dnf in C++.
var DNF5 = &Manager{
	program: "dnf5",
	conf:    "/etc/dnf/dnf.conf", dirKeys: []string{"reposdir"},
	dirs:             []string{"/etc/yum.repos.d", "/etc/distro.repos.d", "/usr/share/dnf5/repos.d"},
	changes:          []string{"/usr/share/dnf5/repos.override.d", "/etc/dnf/repos.override.d"}, // of dnf5 config-manager
	enabledByDefault: true, defaultPriority: 99,
	options: []string{"--setopt=system_cachedir=" + rpmCache, "--setopt=skip_unavailable=0"},
	best:    []string{"--setopt=best=1"},
	groups:  []string{"group", "list", "--installed", "--hidden"},
}
