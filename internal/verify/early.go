package verify

import (
	"fmt"
	"maps"
	"path"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/initramfs"
)

// earlyArgs are arguments whose value names something in the initramfs that an entry loads. Each says what is wrong
// with a value, or "".
var earlyArgs = map[string]func(files map[string]bool, value string) string{
	"rdinit":           wrongEarlyInit,
	"rd.systemd.unit":  wrongEarlyUnit,
	"rd.systemd.wants": wrongEarlyUnit,
}

// early tells what is wrong with an argument that names something in the initramfs. Where none is loaded, or it
// cannot be read, nothing is.
func (s *system) early(e boot.Entry, key, value string) string {
	wrong := earlyArgs[key]
	if wrong == nil {
		return ""
	}
	if files := s.earlyFiles(e); len(files) > 0 {
		return wrong(files, value)
	}
	return ""
}

// earlyFiles lists what the initramfs images of an entry hold together. It is empty where one cannot be read.
func (s *system) earlyFiles(e boot.Entry) map[string]bool {
	all := map[string]bool{}
	for _, r := range e.Initrds {
		name, err := s.find(r)
		if err != nil || r.Place == e.Kernel.Place { // one unified with its kernel
			return nil
		}
		files := s.initramfsFiles(name)
		if files == nil || !s.more(len(files)/lookup) {
			return nil
		}
		maps.Copy(all, files)
	}
	return all
}

// initramfsFiles lists what an initramfs image holds; nil where it cannot be read.
func (s *system) initramfsFiles(name string) map[string]bool {
	f, err := s.Root.Open(name, 0, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil
	}
	files, known := s.members[inode(fi)]
	if !known && s.moreBytes(max(fi.Size(), unpackedInitramfs)) {
		if files, known = initramfs.Members(s.ctx, f); !known {
			files = nil
		}
		s.members[inode(fi)] = files
	}
	return files
}

// unpackedInitramfs is what an initramfs counts for where it is unpacked, in bytes, since nobody knows what it will be.
const unpackedInitramfs = 256 << 20

// hasEarly tells whether an initramfs has a file. A folder such as bin may be a link to that below usr.
func hasEarly(files map[string]bool, name string) bool {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	return files[name] || files["usr/"+name] || files[strings.TrimPrefix(name, "usr/")] || files[strings.Replace(name, "sbin/", "bin/", 1)]
}

func wrongEarlyInit(files map[string]bool, value string) string {
	switch {
	case !path.IsAbs(value):
		return "this is not an absolute path"
	case !hasEarly(files, value):
		return fmt.Sprintf("the initramfs has no program %s: the kernel would not run it at all", value)
	}
	return ""
}

// wrongEarlyUnit is for systemd in the initramfs; without it, nothing reads the argument.
func wrongEarlyUnit(files map[string]bool, value string) string {
	if !hasEarly(files, "usr/lib/systemd/systemd") {
		return ""
	}
	for _, dir := range unitDirs {
		if hasEarly(files, path.Join(dir, value)) || hasEarly(files, path.Join(dir, instance.ReplaceAllString(value, "@."))) {
			return ""
		}
	}
	return "the initramfs has no such unit"
}
