package machine

import (
	"regexp"
	"strconv"
)

// sharedLibrary is named after the version of systemd that it belongs to, such as libsystemd-shared-257.so or
// libsystemd-shared-255.4-1.azl3.so.
var sharedLibrary = regexp.MustCompile(`^libsystemd-shared-([0-9]{1,4})`)

// Systemd is the version of the image's systemd, 0 where it has none. No program of the image is asked.
func (m *Machine) Systemd() int {
	for _, dir := range []string{"/usr/lib/systemd", "/lib/systemd", "/usr/lib64/systemd", "/usr/lib/" + m.Facts.Arch + "-linux-gnu/systemd"} {
		entries, err := m.Root.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if found := sharedLibrary.FindStringSubmatch(e.Name()); found != nil {
				n, _ := strconv.Atoi(found[1])
				return n
			}
		}
	}
	return 0
}
