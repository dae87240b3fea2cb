package system

import (
	"errors"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

// denyFolders are where modprobe reads its settings, modprobe.d(5): of files of one name the first counts.
var denyFolders = []string{"/etc/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"}

// same tells whether two names are of one module: "-" and "_" are one letter there.
func sameModule(a, b string) bool { return ModuleKey(a) == ModuleKey(b) }

func ModuleKey(name string) string { return strings.ReplaceAll(name, "-", "_") }

// blocks matches commands that "load" a module by doing nothing.
var blocks = regexp.MustCompile(`^(/usr)?(/bin/)?(true|false|:|exit( \d+)?|nologin)( .*)?$`)

// denies tells whether a line of modprobe.d keeps a module from being loaded.
func denies(line, module string) bool {
	f := strings.Fields(line)
	switch {
	case len(f) < 2 || !sameModule(f[1], module):
		return false
	case f[0] == "blacklist":
		return true
	}
	return f[0] == "install" && len(f) > 2 && blocks.MatchString(strings.Join(f[2:], " "))
}

// denyFiles are the files that modprobe reads, by the name that decides among the folders.
func denyFiles(root *rootfs.Root) map[string]string {
	files := map[string]string{}
	for _, dir := range denyFolders {
		entries, _ := root.ReadDir(dir) // a folder that is not there has none
		for _, e := range entries {
			if name := e.Name(); path.Ext(name) == ".conf" && files[name] == "" {
				files[name] = dir + "/" + name
			}
		}
	}
	return files
}

// joined are the lines of a file, those that end with a backslash together with the next.
func joined(text string) (lines []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if n := len(lines); n > 0 && strings.HasSuffix(lines[n-1], "\\") {
			lines[n-1] += "\n" + line
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

func logical(line string) string { return strings.ReplaceAll(line, "\\\n", " ") }

// allow takes what keeps a module from being loaded out of all files of modprobe.d. A file of a package
// is left alone: one of its name in /etc counts in its place.
func allow(root *rootfs.Root, module string) error {
	for name, file := range denyFiles(root) {
		data, err := root.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a link that leads nowhere
		}
		if err != nil {
			return err
		}
		lines := joined(string(data))
		kept := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return denies(logical(l), module) })
		if len(kept) == len(lines) {
			continue
		}
		if err := root.MkdirAll(denyFolders[0], 0o755); err != nil {
			return err
		}
		text := strings.Join(append(kept, ""), "\n")
		if err := root.WriteFile(denyFolders[0]+"/"+name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// deniedBy is the file that keeps a module from being loaded, or "".
func deniedBy(root *rootfs.Root, module string) string {
	for _, file := range denyFiles(root) {
		data, _ := root.ReadFile(file) // a link that leads nowhere denies nothing
		for _, l := range joined(string(data)) {
			if denies(logical(l), module) {
				return file
			}
		}
	}
	return ""
}

// deniedAtBoot is the kernel argument that keeps a module from being loaded, or "".
func deniedAtBoot(args []string, module string) string {
	for _, a := range args {
		name, list, _ := strings.Cut(a, "=")
		if name != "module_blacklist" && name != "modprobe.blacklist" {
			continue
		}
		if slices.ContainsFunc(strings.Split(list, ","), func(m string) bool { return sameModule(m, module) }) {
			return a
		}
	}
	return ""
}

// modulesThere are the names of the modules that some kernel of the image has, built in or as files; none
// where no kernel has a list of them.
func modulesThere(m *machine.Machine) (names []string) {
	kernels, _ := boot.Kernels(m.Root)
	for _, k := range kernels {
		for _, list := range []string{"/modules.dep", "/modules.builtin"} {
			text, _ := m.Root.ReadFile(k.Modules + list)
			for line := range strings.Lines(string(text)) {
				file, _, _ := strings.Cut(strings.TrimSpace(line), ":")
				if name, _, ok := strings.Cut(path.Base(file), ".ko"); ok {
					names = append(names, name)
				}
			}
		}
	}
	return names
}
