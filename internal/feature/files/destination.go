package files

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// volatile are folders whose content is never that of the image's own filesystems: what is put there during
// a run is gone with it.
var volatile = []string{"/run", "/var/run", "/var/lock", "/dev", "/proc", "/sys"}

// scratchFolder is empty when an image boots, but scripts of the run see what is put there.
const scratchFolder = "/tmp"

// CheckKept reports a destination that would not be in the image.
func CheckKept(name string, at *config.At) {
	name = path.Clean("/" + name)
	for _, dir := range volatile {
		if feature.In(dir, name) {
			at.Errorf("%s would not be in the image: %s is made anew at every boot", name, dir).Hint("%s", instead(dir))
			return
		}
	}
	if feature.In(scratchFolder, name) {
		at.Warnf("%s is there for the scripts of the run only: %s is not kept in the image", name, scratchFolder).
			Hint("to have it in the image, put it elsewhere, such as /var/tmp or /opt")
	}
}

func instead(dir string) string {
	switch dir {
	case "/run", "/var/run", "/var/lock":
		return "put it below /etc or /usr/lib, or have it made at boot: tmpfiles.d(5)"
	case "/dev":
		return "have it made at boot: tmpfiles.d(5), or a rule of udev in /etc/udev/rules.d"
	}
	return "set it at boot: sysctl.d(5), or tmpfiles.d(5) with a line \"w\""
}

// place is where a path of the config leads in the image, as far as its folders are there.
func place(m *machine.Machine, name string) string {
	at, rest := path.Clean(name), ""
	for at != "/" {
		if real, err := m.Root.Real(at); err == nil {
			return path.Join(real, rest)
		}
		at, rest = path.Dir(at), path.Join(path.Base(at), rest)
	}
	return path.Clean(name)
}

// problemOf says why a file cannot be put at a path of the image so that it is there at boot.
func problemOf(m *machine.Machine, name, source string) string {
	real := place(m, name)
	where := name
	if real != path.Clean(name) {
		where = fmt.Sprintf("%s, which is %s in the image,", name, real)
	}
	for _, dir := range volatile {
		if feature.In(dir, real) {
			return fmt.Sprintf("%s would not be there at boot: %s is made anew", where, dir)
		}
	}
	for _, dir := range m.Facts.Covered {
		if real != path.Clean(name) && feature.In(dir, real) { // a path without links is looked at before: see covered
			return fmt.Sprintf("%s lies where /etc/fstab of the image mounts a disk that it gets where it runs (%s)", where, dir)
		}
	}
	if m.Root.IsDir(name) {
		return fmt.Sprintf("%s is a folder in the image, and cannot be replaced by the file %s", name, source)
	}
	if file := feature.NotDirectory(m, path.Dir(path.Clean(name))); file != "" {
		return fmt.Sprintf("%s cannot be written: %s is no folder in the image", name, file)
	}
	if dir := hiddenBy(m, real); dir != "" {
		return fmt.Sprintf("%s would not be seen at boot: /etc/fstab mounts a filesystem in memory at %s", where, dir)
	}
	return ""
}

// hiddenBy is the mount point of a filesystem in memory that fstab mounts over a path, or "".
func hiddenBy(m *machine.Machine, name string) string {
	text, err := m.Root.ReadFile(feature.Fstab)
	if err != nil {
		return ""
	}
	for _, e := range disk.ParseFstab(string(text)).Entries() {
		if slices.Contains([]string{"tmpfs", "ramfs"}, e.Type) && feature.Below(name, e.Target) && e.Target != scratchFolder {
			return e.Target
		}
	}
	return ""
}

// Check finds a destination that is not kept in the image, or cannot be written.
func (s WriteFile) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	what := s.Source
	if what == "" {
		what = "of the config"
	}
	if text := problemOf(m, s.Destination, what); text != "" {
		return []plan.Problem{{Path: s.Path + ".destination", Text: text, Hint: "choose another destination"}}
	}
	return nil
}

// Check does so for every file of the folder.
func (s CopyDir) Check(_ context.Context, m *machine.Machine) (problems []plan.Problem) {
	err := hostfs.Walk(s.Source, func(name string, isDir bool) error {
		rel, err := filepath.Rel(s.Source, name)
		if err != nil {
			return err
		}
		dst, text := path.Join(s.Destination, filepath.ToSlash(rel)), ""
		if !isDir {
			text = problemOf(m, dst, name)
		} else if file := feature.NotDirectory(m, dst); file != "" {
			text = fmt.Sprintf("the folder %s cannot be copied: %s is no folder in the image", dst, file)
		}
		if text != "" {
			problems = append(problems, plan.Problem{Path: s.Path + ".destination", Text: text, Hint: "leave it out of the folder, or choose another destination"})
		}
		return nil
	})
	if err != nil {
		problems = append(problems, plan.Problem{Path: s.Path + ".source", Text: strings.TrimSpace(err.Error())})
	}
	return problems
}

// Replaces lists the files of the folder as they will lie in the image.
func (s CopyDir) Replaces(*machine.Machine) (list []plan.Replaced) {
	_ = hostfs.Walk(s.Source, func(name string, isDir bool) error { // what cannot be read, Check tells
		rel, err := filepath.Rel(s.Source, name)
		if err == nil && !isDir {
			list = append(list, feature.Replaced(s.Path+".destination", path.Join(s.Destination, filepath.ToSlash(rel)))...)
		}
		return nil
	})
	return list
}

// Replaces is the file.
func (s WriteFile) Replaces(*machine.Machine) []plan.Replaced {
	return feature.Replaced(s.Path+".destination", s.Destination)
}
