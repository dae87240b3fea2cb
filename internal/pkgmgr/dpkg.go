package pkgmgr

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

// dpkgOwns tells whether a package of the image brought the file.
func dpkgOwns(root *rootfs.Root, name string) bool {
	const info = "/var/lib/dpkg/info"
	entries, _ := root.ReadDir(info)
	for _, e := range entries {
		if path.Ext(e.Name()) == ".list" && holdsLine(root, path.Join(info, e.Name()), name) {
			return true
		}
	}
	return false
}

// FilesOf lists what an installed package has brought, as far as dpkg's records tell without running it.
func FilesOf(m *machine.Machine, name string) (files []string) {
	const info = "/var/lib/dpkg/info/"
	name = parseDebWish(name).name
	for _, list := range append([]string{info + name + ".list"}, archLists(m, info+name)...) {
		text, err := m.Root.ReadFile(list)
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

func archLists(m *machine.Machine, name string) (lists []string) {
	for _, arch := range debArchs(m) {
		lists = append(lists, name+":"+arch+".list")
	}
	return lists
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
	return []string{map[string]string{"x86_64": "amd64", "aarch64": "arm64", "i686": "i386", "armv7l": "armhf", "riscv64": "riscv64"}[m.Facts.Arch]}
}
