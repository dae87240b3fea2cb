package verify

import (
	"path"
	"regexp"
	"strings"

	"imagecustomizer/internal/sandbox"
)

// bootFiles are further files that decide how the system boots, besides grub.cfg and boot entries.
var bootFiles = []string{
	fstabFile, "/etc/default/grub", "/etc/default/grub.d", "/etc/kernel/cmdline", "/etc/crypttab", "/etc/veritytab",
	"/etc/initramfs-tools/conf.d", "/etc/dracut.conf.d", "/boot/grub/device.map", "/boot/grub2/device.map",
	"/boot/mariner.cfg", "/boot/systemd.cfg", "/boot/mariner-mshv.cfg", "/boot/grub/grubenv", "/boot/grub2/grubenv",
}

var (
	loopDevice = regexp.MustCompile(`(?:/dev/|\()loop\d+\w*`)
	hostFolder = regexp.MustCompile(regexp.QuoteMeta(sandbox.Work) + `/\S*`)
	unstable   = regexp.MustCompile(`\b(?:root|resume)=/dev/(?:sd|vd|hd|xvd|nvme)\w+`)
)

// host looks for devices and paths of the machine that the image was made on, which mean nothing, or
// something else, where it runs.
func host(s *system) []Finding {
	var found list
	for _, file := range s.bootFiles() {
		for i, l := range strings.Split(s.text(file), "\n") {
			if strings.HasPrefix(strings.TrimSpace(l), "#") {
				continue
			}
			if m := loopDevice.FindString(l); m != "" {
				found.at(file, i+1, "names %s, a device of the machine that the image was made on", strings.TrimPrefix(m, "("))
			}
			if m := hostFolder.FindString(l); m != "" {
				found.at(file, i+1, "names %s, a path of the machine that the image was made on", m)
			}
			if m := unstable.FindString(l); m != "" {
				found.warn(file, i+1, "%s is a name that differs from machine to machine", m)
				found.hint("a UUID does not: root=UUID=...")
			}
		}
	}
	return found
}

// bootFiles lists the files that decide how the system boots.
func (s *system) bootFiles() (files []string) {
	if s.scheme.Config != "" {
		files = append(files, s.scheme.Config)
	}
	for _, place := range append(bootFiles[:len(bootFiles):len(bootFiles)], s.scheme.Entries) {
		if place == "" || !s.Root.IsDir(place) {
			files = append(files, place)
			continue
		}
		entries, _ := s.Root.ReadDir(place)
		for _, e := range entries {
			files = append(files, path.Join(place, e.Name()))
		}
	}
	return files
}
