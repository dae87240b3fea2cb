package verify

import (
	"io/fs"
	"path"
	"strings"
)

// ours are files and folders that a run makes in an image for a time, and those of tools like this one.
var ours = []string{
	"/_imageconfigs", "/_localrpms", "/usr/sbin/policy-rc.d.imagecustomizer", "/tmp/imagecustomizer-script", "/etc/.resolv.conf.imagecustomizer",
}

// sharedDirs are folders of the image in which a run has files for a time.
var sharedDirs = []string{
	"/etc/dracut.conf.d", "/etc/initramfs-tools/conf.d", "/etc/yum.repos.d", "/etc/apt/sources.list.d", "/etc/apt/preferences.d",
}

// leftovers looks for what a run should have taken away.
func leftovers(s *system, found *list) {
	for _, name := range ours {
		if _, err := s.Root.Lstat(name); err == nil {
			found.at(name, 0, "is left over from customizing")
		}
	}
	for _, dir := range sharedDirs {
		for _, e := range s.names(dir) {
			if strings.Contains(e.Name(), "imagecustomizer") {
				found.at(path.Join(dir, e.Name()), 0, "is left over from customizing")
			}
		}
	}
	if s.setting("/usr/sbin/policy-rc.d") == "#!/bin/sh\nexit 101\n" {
		found.at("/usr/sbin/policy-rc.d", 0, "keeps packages from starting their services, as while an image is made")
	}
	s.nameServers(found)
}

// nameServers warns of an image that will ask the name servers of the machine it was made on.
func (s *system) nameServers(found *list) {
	const file = "/etc/resolv.conf"
	fi, err := s.Root.Lstat(file)
	if err != nil || fi.Mode()&fs.ModeSymlink != 0 {
		return
	}
	if strings.Contains(s.HostDNS, "nameserver") && s.setting(file) == s.HostDNS {
		found.warn(file, 0, "is that of the machine that the image was made on")
	}
}
