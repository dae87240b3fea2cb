package verify

import (
	"path"
	"regexp"
	"strings"
)

// unitDirs are where systemd looks for units, the strongest first.
var unitDirs = []string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

var instance = regexp.MustCompile(`@.+\.`)

// units checks that systemd finds the target that it starts, and warns of enabled units that are not there.
func units(s *system) []Finding {
	var found list
	if !s.hasSystemd() {
		return nil
	}
	s.defaultTarget(&found)
	entries, _ := s.Root.ReadDir(unitDirs[0])
	for _, d := range entries {
		if !strings.HasSuffix(d.Name(), ".wants") && !strings.HasSuffix(d.Name(), ".requires") {
			continue
		}
		dir := path.Join(unitDirs[0], d.Name())
		links, _ := s.Root.ReadDir(dir)
		for _, l := range links {
			if name := path.Join(dir, l.Name()); !s.Root.Exists(name) && !s.unit(l.Name()) {
				found.warn(name, 0, "this unit is enabled, but not in the image")
			}
		}
	}
	return found
}

func (s *system) defaultTarget(found *list) {
	for _, dir := range unitDirs {
		name := path.Join(dir, "default.target")
		if _, err := s.Root.Lstat(name); err != nil {
			continue
		}
		if target, err := s.Root.Readlink(name); err == nil && !s.Root.Exists(name) {
			found.at(name, 0, "leads to %s, which the image does not have: systemd would not know what to start", target)
		}
		return
	}
	found.at("/usr/lib/systemd/system/default.target", 0, "there is no such unit: systemd would not know what to start")
}

// unit tells whether systemd finds a unit by its name, or by that of its template.
func (s *system) unit(name string) bool {
	for _, dir := range unitDirs {
		if s.Root.Exists(path.Join(dir, name)) || s.Root.Exists(path.Join(dir, instance.ReplaceAllString(name, "@."))) {
			return true
		}
	}
	return false
}
