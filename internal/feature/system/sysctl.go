package system

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// Sysctl are kernel parameters that are set at boot, by name.
type Sysctl map[string]string

// sysctlName is a name as sysctl.d(5) takes it: parts with dots or slashes between them.
var sysctlName = regexp.MustCompile(`^[A-Za-z0-9_*-]+([./][A-Za-z0-9_:*-]+)+$`)

// Validate checks names and values.
func (s *Sysctl) Validate(at *config.At) {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(*s)) {
		value := (*s)[name]
		switch other := seen[sysctlFile(name)]; {
		case !sysctlName.MatchString(name):
			at.Key(name).Errorf("%q is not the name of a kernel parameter", name).Hint("write it as sysctl does, such as \"net.ipv4.ip_forward\"")
		case other != "":
			at.Key(name).Errorf("%s is the same kernel parameter as %s", name, other)
		case strings.ContainsAny(value, "\n\r") || strings.TrimSpace(value) == "":
			at.Field(name).Errorf("the value of %s must be one line that is not empty", name)
		}
		seen[sysctlFile(name)] = name
	}
}

// sysctlFile is the path below /proc/sys of a parameter. The first separator of a name decides what the others mean,
// sysctl.d(5).
func sysctlFile(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '/' {
		return name
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, name)
}

// Used tells whether there are some.
func (s Sysctl) Used() bool { return len(s) > 0 }

// Touches is the file that holds them.
func (Sysctl) Touches() []feature.Touch { return []feature.Touch{{Path: sysctlConf}} }

// Plan writes them.
func (s Sysctl) Plan(*feature.Given) (plan.Plan, []plan.Problem) { return plan.Plan{SetSysctl{s}}, nil }

// Record is all of them.
func (s Sysctl) Record() (any, error) { return feature.RecordIf(s.Used(), s) }

// sysctlConf stands behind the files of distributions and packages, which end at 99-sysctl.conf: the last one that
// sets a parameter wins.
const sysctlConf = "/etc/sysctl.d/99-zz-image.conf"

// sysctlReaders are programs that set parameters at boot from /etc/sysctl.d: that of systemd, and that of procps.
var sysctlReaders = []string{"/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl", "/etc/init.d/procps"}

// SetSysctl writes kernel parameters for sysctl.d(5).
type SetSysctl struct{ Parameters Sysctl }

// Name identifies the step.
func (SetSysctl) Name() string { return "sysctl" }

func (s SetSysctl) String() string {
	return "set kernel parameters at boot: " + strings.Join(slices.Sorted(maps.Keys(s.Parameters)), ", ")
}

// Replaces is the file that holds them.
func (SetSysctl) Replaces(*machine.Machine) []plan.Replaced {
	return feature.Replaced("os.sysctl", sysctlConf)
}

// Check looks for a program that reads the file, and for what would win over it.
func (s SetSysctl) Check(_ context.Context, m *machine.Machine) (problems []plan.Problem) {
	if !slices.ContainsFunc(sysctlReaders, m.Root.Exists) {
		problems = append(problems, plan.Problem{
			Path: "os.sysctl", Text: "nothing in the image sets kernel parameters at boot from /etc/sysctl.d", Later: true,
			Hint: "install systemd in the same run",
		})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Parameters)) {
		if file := s.overruled(m, name); file != "" {
			problems = append(problems, plan.Problem{
				Path: "os.sysctl." + name, Text: fmt.Sprintf("%s is set by %s too, which is read later and wins", name, file), Hint: "remove it there",
			})
		}
	}
	return problems
}

// overruled is a file of the image, read behind ours, that sets the parameter too.
func (s SetSysctl) overruled(m *machine.Machine, name string) string {
	for _, dir := range []string{"/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"} {
		entries, _ := m.Root.ReadDir(dir) // a directory that is not there has none
		for _, e := range entries {
			file := path.Join(dir, e.Name())
			if e.Name() > path.Base(sysctlConf) && strings.HasSuffix(file, ".conf") && setsParameter(m, file, name) {
				return file
			}
		}
	}
	return ""
}

func setsParameter(m *machine.Machine, file, name string) bool {
	text, _ := m.Root.ReadFile(file) // one that cannot be read sets nothing
	for line := range strings.Lines(string(text)) {
		key, _, is := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "-"), "=")
		if is && !strings.HasPrefix(key, "#") && !strings.HasPrefix(key, ";") && sysctlFile(strings.TrimSpace(key)) == sysctlFile(name) {
			return true
		}
	}
	return false
}

// Run writes the file. Parameters that an earlier run wrote stay, unless they are set anew.
func (s SetSysctl) Run(ctx context.Context, m *machine.Machine) error {
	if problems := s.Check(ctx, m); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(s.Parameters)) {
		lines = append(lines, name+" = "+s.Parameters[name])
	}
	if err := m.Root.MkdirAll(path.Dir(sysctlConf), 0o755); err != nil {
		return err
	}
	if m.Root.Exists(sysctlConf) {
		if err := m.Root.EditLines(sysctlConf, func(l string) (string, bool) { return l, !s.sets(l) }); err != nil {
			return err
		}
	}
	return m.Root.AppendLines(sysctlConf, 0o644, lines...)
}

// sets tells whether a line sets one of the parameters.
func (s SetSysctl) sets(line string) bool {
	key, _, _ := strings.Cut(line, "=")
	for name := range s.Parameters {
		if sysctlFile(strings.TrimSpace(key)) == sysctlFile(name) {
			return true
		}
	}
	return false
}

// Flags set parameters.
func (Sysctl) Flags() []feature.Flag {
	return []feature.Flag{{Name: "sysctl", Value: "NAME=VALUE", Help: "Set a kernel parameter at boot.", Says: func(v string) ([]feature.Said, error) {
		name, value, err := feature.Pair(v, "=", "NAME=VALUE, such as net.ipv4.ip_forward=1")
		return []feature.Said{{Path: "os.sysctl", Value: map[string]any{name: value}}}, err
	}}}
}
