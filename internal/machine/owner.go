package machine

import (
	"bufio"
	"bytes"
	"os"

	"imagecustomizer/internal/rootfs"
)

// packageManager is the package manager of an image: one of those that work on the database its packages
// are in. Others may be installed as well, as packages like any other.
func (m *Machine) packageManager() string {
	managers := map[string]string{"tdnf": "tdnf", "dnf5": "dnf", "dnf": "dnf", "apt-get": "apt"}
	rpm, deb := []string{"tdnf", "dnf5", "dnf"}, []string{"apt-get"}
	switch {
	case dpkgOwns(m.Root):
		return m.firstProgram(managers, deb...)
	case hasRPMDatabase(m.Root):
		return m.firstProgram(managers, rpm...)
	}
	return m.firstProgram(managers, append(rpm, deb...)...)
}

// dpkgOwns tells whether dpkg installed the system: its database lists dpkg itself.
func dpkgOwns(root *rootfs.Root) bool {
	f, err := root.Open("/var/lib/dpkg/status", os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 64<<10)
	mine := false
	for {
		line, err := in.ReadSlice('\n') // what is left of a longer line is like a line of its own, and none that counts
		switch {
		case bytes.HasPrefix(line, []byte("Package: ")):
			mine = string(bytes.TrimSpace(line)) == "Package: dpkg"
		case mine && bytes.HasPrefix(line, []byte("Status: ")):
			return bytes.HasSuffix(bytes.TrimSpace(line), []byte(" installed"))
		}
		if err != nil && err != bufio.ErrBufferFull {
			return false
		}
	}
}

// hasRPMDatabase looks for rpm's database in the forms and places it has had.
func hasRPMDatabase(root *rootfs.Root) bool {
	for _, dir := range []string{"/usr/lib/sysimage/rpm", "/var/lib/rpm"} {
		for _, name := range []string{"rpmdb.sqlite", "Packages", "Packages.db"} {
			if fi, err := root.Stat(dir + "/" + name); err == nil && fi.Mode().IsRegular() && fi.Size() > 0 {
				return true
			}
		}
	}
	return false
}
