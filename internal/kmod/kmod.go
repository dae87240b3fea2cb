// Package kmod reads what a kernel's build and depmod say of its modules.
package kmod

import (
	"path"
	"strings"

	"imagecustomizer/internal/rootfs"
)

// Modules are the drivers of a kernel, by the names that the kernel knows them by.
type Modules struct {
	Loadable map[string]bool // files of its own
	Builtin  map[string]bool // in the kernel itself
	Known    bool            // it can be told what is built in
}

// Read reads the indexes that depmod and the kernel's build have left in a folder of modules.
func Read(files interface {
	ReadAs(k rootfs.Kind, name string) ([]byte, error)
}, dir string) Modules {
	m := Modules{Loadable: map[string]bool{}, Builtin: map[string]bool{}}
	builtin, err := files.ReadAs(rootfs.Index, path.Join(dir, "modules.builtin"))
	m.Known = err == nil && len(builtin) > 0
	loadable, _ := files.ReadAs(rootfs.Index, path.Join(dir, "modules.dep"))
	for index, text := range map[*map[string]bool][]byte{&m.Builtin: builtin, &m.Loadable: loadable} {
		for line := range strings.Lines(string(text)) {
			file, _, _ := strings.Cut(strings.TrimSpace(line), ":")
			base, _, _ := strings.Cut(path.Base(file), ".ko")
			(*index)[Name(base)] = true
		}
	}
	return m
}

// Has tells whether the kernel has a driver, in either way.
func (m Modules) Has(driver string) bool { return m.Loadable[driver] || m.Builtin[driver] }

// Name is the name by which the kernel knows a module.
func Name(base string) string { return strings.ReplaceAll(base, "-", "_") }
