package apt

import (
	"bufio"
	"os"
	"path"
	"strings"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

// dpkgStatus is the database of what is installed.
const dpkgStatus = "/var/lib/dpkg/status"

// dpkgInfo is where it keeps what packages have brought.
const dpkgInfo = "/var/lib/dpkg/info"

// eachInstalled reads the database of an image.
func eachInstalled(root *rootfs.Root, use func(*stanza)) error {
	f, err := root.Open(dpkgStatus, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return eachStanza(f, func(s *stanza) {
		if s.installed() {
			use(s)
		}
	})
}

// without returns the wishes that no installed package is.
func without(root *rootfs.Root, wishes []debWish, is func(debWish, *stanza) bool) (absent []debWish, err error) {
	found := map[string]bool{}
	err = eachInstalled(root, func(s *stanza) {
		for _, w := range wishes {
			if is(w, s) {
				found[w.text] = true
			}
		}
	})
	for _, w := range wishes {
		if !found[w.text] && !w.open() {
			absent = append(absent, w)
		}
	}
	return absent, err
}

// Files reads dpkg's records.
func (Database) Files(m *machine.Machine, name string) (files []string) {
	name = parseDebWish(name).name
	lists := []string{name}
	for _, arch := range debArchs(m) {
		lists = append(lists, name+":"+arch)
	}
	for _, list := range lists {
		text, err := m.Root.ReadFile(dpkgInfo + "/" + list + ".list")
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if file := strings.TrimSpace(line); path.IsAbs(file) && !m.Root.IsDir(file) {
				files = append(files, file)
			}
		}
	}
	return files
}

func holdsLine(root *rootfs.Root, file, line string) bool {
	f, err := root.Open(file, os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if lines.Text() == line {
			return true
		}
	}
	return false
}

// debArchs are dpkg's names of the architectures of an image, its own first.
func debArchs(m *machine.Machine) (archs []string) {
	if f, err := m.Root.Open("/var/lib/dpkg/arch", os.O_RDONLY, 0); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan() && len(archs) < 16; {
			if a := strings.TrimSpace(lines.Text()); a != "" {
				archs = append(archs, a)
			}
		}
	}
	if len(archs) > 0 {
		return archs
	}
	return []string{debArch(m.Facts.Arch)}
}

// debArch is dpkg's name of an architecture as uname -m says it.
func debArch(name string) string {
	return map[string]string{"x86_64": "amd64", "aarch64": "arm64", "i686": "i386", "armv7l": "armhf", "riscv64": "riscv64"}[name]
}
