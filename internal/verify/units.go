package verify

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// unitDirs are where systemd looks for units, the strongest first.
var unitDirs = []string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

var instance = regexp.MustCompile(`@.+\.`)

// units checks that systemd finds the target that it starts, and warns of enabled units that are not there.
func units(s *system, found *list) {
	if !s.hasSystemd() {
		return
	}
	s.defaultTarget(found)
	entries := s.names(unitDirs[0])
	for _, d := range entries {
		if !strings.HasSuffix(d.Name(), ".wants") && !strings.HasSuffix(d.Name(), ".requires") {
			continue
		}
		dir := path.Join(unitDirs[0], d.Name())
		for _, l := range s.names(dir) {
			if !s.more(5 * lookup) {
				return
			}
			if name := path.Join(dir, l.Name()); !s.Root.Exists(name) && !s.unit(l.Name()) {
				found.warn(name, 0, "this unit is enabled, but not in the image")
			}
		}
	}
}

// defaultTarget checks the target that systemd starts, and what that cannot be started without.
func (s *system) defaultTarget(found *list) {
	const name = "default.target"
	file := s.unitFile(name)
	switch target, masked := s.masked(file); {
	case file == "":
		found.at(path.Join("/usr/lib/systemd/system", name), 0, "there is no such unit: systemd would not know what to start")
	case masked:
		found.at(file, 0, "is masked: systemd would not know what to start")
	case target != "" && !s.Root.Exists(file):
		found.at(file, 0, "leads to %s, which the image does not have: systemd would not know what to start", target)
	default:
		s.required(found, name)
	}
}

// masked tells where a link leads, and whether that is what systemd takes for a unit that must not be started.
func (s *system) masked(file string) (target string, is bool) {
	target, _ = s.Root.Readlink(file)
	return target, target == "/dev/null"
}

// maxUnits bounds how many units are followed.
const maxUnits = 512

// required follows the units without which a target cannot be started.
func (s *system) required(found *list, first string) {
	queue, seen := []string{first}, map[string]bool{first: true}
	for len(queue) > 0 && len(seen) < maxUnits {
		unit := queue[0]
		queue = queue[1:]
		file := s.unitFile(unit)
		for n, line := range s.unitLines(file) {
			for _, needs := range requirements(line) {
				if seen[needs] {
					continue
				}
				if seen[needs] = true; !s.more(5 * lookup) {
					return
				}
				queue = append(queue, needs)
				its := s.unitFile(needs)
				if _, masked := s.masked(its); its == "" || masked {
					found.at(file, n+1, "needs %s, which the image does not have or has masked: systemd cannot start %s without", needs, unit)
				}
			}
		}
	}
}

// requirements are the units that a line names without which its unit is not started (systemd.unit(5)).
func requirements(line string) (units []string) {
	key, value, _ := strings.Cut(line, "=")
	if !slices.Contains([]string{"Requires", "Requisite", "BindsTo"}, strings.TrimSpace(key)) {
		return nil
	}
	for _, name := range strings.Fields(value) {
		// Mounts and devices are units that no file needs to name.
		if ext := path.Ext(name); !strings.Contains(name, "%") && (ext == ".target" || ext == ".service" || ext == ".socket") {
			units = append(units, name)
		}
	}
	return units
}

func (s *system) unitLines(file string) []string {
	return strings.Split(s.setting(file), "\n")
}

// unit tells whether systemd finds a unit.
func (s *system) unit(name string) bool {
	file := s.unitFile(name)
	return file != "" && s.Root.Exists(file)
}

// unitFile is where systemd finds a unit by its name, or by that of its template; "" where it does not. It may be a link
// that leads nowhere.
func (s *system) unitFile(name string) string {
	for _, name := range []string{name, instance.ReplaceAllString(name, "@.")} {
		for _, dir := range unitDirs {
			if _, err := s.Root.Lstat(path.Join(dir, name)); err == nil {
				return path.Join(dir, name)
			}
		}
	}
	return ""
}
