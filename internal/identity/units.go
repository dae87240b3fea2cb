package identity

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/rootfs"
)

// Units are the systemd units of an image, of the system or of users ("system", "user").
type Units struct {
	Root *rootfs.Root
	Kind string
}

// Etc is the folder of the administrator's units.
func (u Units) Etc() string { return "/etc/systemd/" + u.Kind }

func (u Units) dirs() []string {
	return []string{u.Etc(), "/usr/local/lib/systemd/" + u.Kind, "/usr/lib/systemd/" + u.Kind, "/lib/systemd/" + u.Kind}
}

// Names lists the units that are files, but for those that are masked or another name of one.
func (u Units) Names() (names []string) {
	for _, dir := range u.dirs() {
		entries, _ := u.Root.ReadDir(dir) // a folder that is not there has none
		for _, e := range entries {
			if !e.IsDir() && path.Ext(e.Name()) != "" && !slices.Contains(names, e.Name()) {
				names = append(names, e.Name())
			}
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return u.file(n) == "" })
	slices.Sort(names)
	return names
}

// file is where a unit is; empty where it is masked, missing, or only a name of another.
func (u Units) file(name string) string {
	for _, dir := range u.dirs() {
		file := path.Join(dir, name)
		fi, err := u.Root.Lstat(file)
		if err != nil {
			continue
		}
		if fi.Mode()&fs.ModeSymlink != 0 {
			if to, err := u.Root.Readlink(file); err != nil || path.Base(to) != name {
				return ""
			}
		}
		if fi, err := u.Root.Stat(file); err != nil || !fi.Mode().IsRegular() || fi.Size() == 0 {
			return ""
		}
		return file
	}
	return ""
}

// Text is what the files of a unit say, with its drop-ins.
func (u Units) Text(name string) string {
	file := u.file(name)
	if file == "" {
		return ""
	}
	text, _ := u.Root.ReadFile(file) // one that cannot be read says nothing
	all := string(text) + "\n"
	for _, dir := range u.dirs() {
		entries, _ := u.Root.ReadDir(path.Join(dir, name+".d"))
		for _, e := range entries {
			if more, err := u.Root.ReadFile(path.Join(dir, name+".d", e.Name())); err == nil && path.Ext(e.Name()) == ".conf" {
				all += string(more) + "\n"
			}
		}
	}
	return strings.ReplaceAll(all, "\\\n", " ")
}

// Values are the words of a setting.
func Values(text, key string) (words []string) {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, "="); ok && strings.TrimSpace(k) == key {
			words = append(words, strings.Fields(v)...)
		}
	}
	return words
}

var template = regexp.MustCompile(`@[^@]*(\.[a-z]+)$`)

// templateOf is the unit of which another is an instance.
func templateOf(name string) string { return template.ReplaceAllString(name, "@$1") }

// linked lists what an administrator's links name: units that are started by others, and other names of units.
func (u Units) linked() (names []string) {
	entries, _ := u.Root.ReadDir(u.Etc())
	for _, e := range entries {
		name := path.Join(u.Etc(), e.Name())
		switch path.Ext(e.Name()) {
		case ".wants", ".requires", ".upholds":
			links, _ := u.Root.ReadDir(name)
			for _, l := range links {
				names = append(names, l.Name())
			}
			continue
		}
		if to, err := u.Root.Readlink(name); err == nil && path.Base(to) != e.Name() {
			names = append(names, path.Base(to))
		}
	}
	return names
}

// installable are the settings by which a unit is enabled.
var installable = []string{"WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also"}

// Presets is a preset file by which a first boot leaves every unit as it is: systemd applies presets to all units then,
// and enables what none names. lost are units that presets cannot leave as they are: to enable one makes more links
// than there are.
func (u Units) Presets() (text string, lost []string) {
	linked := u.linked()
	for _, name := range u.Names() {
		unit := u.Text(name)
		if !slices.ContainsFunc(installable, func(k string) bool { return len(Values(unit, k)) > 0 }) {
			continue
		}
		var instances []string
		for _, l := range linked {
			if l != name && strings.Contains(name, "@.") && templateOf(l) == name {
				stem, ext, _ := strings.Cut(name, "@")
				instances = append(instances, strings.TrimSuffix(strings.TrimPrefix(l, stem+"@"), ext))
			}
		}
		slices.Sort(instances)
		instances = slices.Compact(instances)
		on := slices.Contains(linked, name) || len(instances) > 0
		if on && u.more(name, unit) {
			lost = append(lost, name)
		}
		text += map[bool]string{true: "enable ", false: "disable "}[on] + strings.Join(append([]string{name}, instances...), " ") + "\n"
	}
	return text, lost
}

// more tells whether enabling a unit that is enabled would make another link.
func (u Units) more(name, text string) bool {
	if strings.Contains(name, "@.") {
		return false // its instances are named
	}
	has := func(link string) bool { _, err := u.Root.Lstat(path.Join(u.Etc(), link)); return err == nil }
	for _, setting := range []struct{ key, dir string }{{"WantedBy", ".wants/"}, {"RequiredBy", ".requires/"}, {"UpheldBy", ".upholds/"}} {
		for _, by := range Values(text, setting.key) {
			if !has(by + setting.dir + name) {
				return true
			}
		}
	}
	for _, alias := range Values(text, "Alias") {
		if !has(alias) {
			return true
		}
	}
	for _, also := range Values(text, "Also") {
		if also != name && len(Values(u.Text(also), "WantedBy")) > 0 && !slices.Contains(u.linked(), also) {
			return true
		}
	}
	return false
}

// Started lists units with all that they pull in.
func (u Units) Started(from ...string) (names []string) {
	for len(from) > 0 {
		name := from[0]
		from = from[1:]
		if slices.Contains(names, name) {
			continue
		}
		names = append(names, name)
		text := u.Text(name)
		if text == "" {
			text = u.Text(templateOf(name))
		}
		for _, key := range []string{"Wants", "Requires", "BindsTo", "Upholds"} {
			from = append(from, Values(text, key)...)
		}
		for _, dir := range u.dirs() {
			for _, kind := range []string{".wants", ".requires", ".upholds"} {
				entries, _ := u.Root.ReadDir(path.Join(dir, name+kind))
				for _, e := range entries {
					from = append(from, e.Name())
				}
			}
		}
	}
	return names
}

// Of is the text of a unit, or of the template that it is an instance of; empty where it is masked.
func (u Units) Of(name string) string {
	if text := u.Text(name); text != "" {
		return text
	}
	for _, dir := range u.dirs() {
		if to, err := u.Root.Readlink(path.Join(dir, name)); err == nil && to == "/dev/null" {
			return ""
		}
	}
	return u.Text(templateOf(name))
}
