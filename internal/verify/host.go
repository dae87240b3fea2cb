package verify

import (
	"path"
	"regexp"
	"strings"

	"imagecustomizer/internal/rootfs"
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
func host(s *system, found *list) {
	for _, file := range s.bootFiles() {
		kind := rootfs.Setting
		if file == s.scheme.Config {
			kind = rootfs.Text
		}
		text := s.read(kind, file)
		s.eachMatch(text, "loop", loopDevice, func(line int, m string) {
			found.at(file, line, "names %s, a device of the machine that the image was made on", strings.TrimPrefix(m, "("))
		})
		s.eachMatch(text, sandbox.Work, hostFolder, func(line int, m string) {
			found.at(file, line, "names %s, a path of the machine that the image was made on", m)
		})
		s.eachMatch(text, "=/dev/", unstable, func(line int, m string) {
			found.warn(file, line, "%s is a name that differs from machine to machine", m)
			found.hint("a UUID does not: root=UUID=...")
		})
	}
}

// eachMatch calls use for the first match of each line that is not a comment. Whatever matches holds this word.
func (s *system) eachMatch(text, word string, what *regexp.Regexp, use func(line int, match string)) {
	for line, at := 1, 0; strings.Contains(text[at:], word) && s.more(lookup+len(text[at:])>>5); {
		m := what.FindStringIndex(text[at:])
		if m == nil {
			return
		}
		start, end := at+m[0], at+m[1]
		line += strings.Count(text[at:start], "\n")
		first := strings.LastIndexByte(text[:start], '\n') + 1
		if !strings.HasPrefix(strings.TrimLeft(text[first:start], " \t"), "#") {
			use(line, text[start:end])
		}
		next := strings.IndexByte(text[end:], '\n')
		if next < 0 {
			return
		}
		line, at = line+1, end+next+1
	}
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
		for _, e := range s.names(place) {
			files = append(files, path.Join(place, e.Name()))
		}
	}
	return files
}
