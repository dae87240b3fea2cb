// Package services enables and disables systemd units (os.services).
package services

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// Services are the systemd units that start at boot, or no longer do.
type Services struct {
	Enable  []UnitName `yaml:"enable" doc:"Services to start at boot." example:"[sshd]"`
	Disable []UnitName `yaml:"disable" doc:"Services not to start at boot."`
}

// UnitName is the name of a systemd unit; without a suffix a service is meant.
type UnitName string

// Describe tells how the name is written.
func (UnitName) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `^[^- \t\n/][^ \t\n/]*$`}
}

// Validate checks the name's form.
func (n *UnitName) Validate(at *config.At) {
	if !n.Describe().Fits(string(*n)) {
		at.Errorf("%q is not the name of a service", string(*n)).Hint("write a unit's name, such as sshd or cron.timer")
	}
}

// Validate finds a service in both lists.
func (s *Services) Validate(at *config.At) {
	config.Contradicts(at.Field("disable"), at.Field("enable"), s.Disable, s.Enable, func(item *config.At, name UnitName) {
		item.Errorf("%s is to be enabled and disabled", name).Hint("remove it from one of the lists")
	})
}

// Used tells whether there are some.
func (s Services) Used() bool { return len(s.Enable)+len(s.Disable) > 0 }

// Touches is where systemd has links to what starts.
func (Services) Touches() []feature.Touch { return []feature.Touch{{Path: UnitFolders[0]}} }

// Plan sets one after the other.
func (s Services) Plan(g *feature.Given) (p plan.Plan, _ []plan.Problem) {
	add := func(list []UnitName, key string, enable bool) {
		for i, n := range list {
			p = append(p, SetService{Unit: string(n), Enable: enable, Path: g.Item("os.services."+key, i), Files: g.Files})
		}
	}
	add(s.Enable, "enable", true)
	add(s.Disable, "disable", false)
	return p, nil
}

// Record is both lists.
func (s Services) Record() (any, error) {
	return feature.RecordIf(s.Used(), map[string]any{"enable": s.Enable, "disable": s.Disable})
}

// SetService enables or disables a systemd unit.
type SetService struct {
	Unit   string
	Enable bool
	Path   string           // in the config
	Files  feature.Supplied // which may be units
}

// Name identifies the step.
func (SetService) Name() string { return "services" }

func (s SetService) String() string { return s.verb() + " service " + s.Unit }

func (s SetService) verb() string {
	if s.Enable {
		return "enable"
	}
	return "disable"
}

// Check looks for systemd, which reads what is enabled, and for the unit: disabling an unknown one succeeds
// without a word.
func (s SetService) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	problem := func(text, hint string) []plan.Problem {
		return []plan.Problem{{Path: s.Path, Text: text, Hint: hint, Later: true}}
	}
	if !m.Has("systemctl") {
		hint := "set the service up for the image's own init, in a script or with additionalFiles"
		if m.Facts.PackageManager != "" {
			hint = "install systemd in the same run, or " + hint
		}
		return problem(fmt.Sprintf("service %s: the image has no systemd, and nothing that would read what is enabled", s.Unit), hint)
	}
	file, found := s.File(m)
	switch {
	case !found:
		return problem("the image has no service "+s.Unit, s.Hint(m))
	case s.Enable && masked(m, file):
		return problem(fmt.Sprintf("service %s is masked in the image by %s, a link to /dev/null, and cannot be enabled", s.Unit, file), "remove it in an earlier run")
	}
	return nil
}

func masked(m *machine.Machine, file string) bool {
	to, err := m.Root.Readlink(file)
	return err == nil && to == "/dev/null"
}

// Run asks the image's systemctl, after making sure that the unit exists.
func (s SetService) Run(ctx context.Context, m *machine.Machine) error {
	if problems := s.Check(ctx, m); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	c := hostcmd.New("systemctl", s.verb(), s.Unit)
	c.Env = append([]string{"SYSTEMD_OFFLINE=1"}, hostcmd.DefaultEnv...)
	return m.Run(ctx, c)
}

// UnitFolders are where systemd looks for units that can be enabled, systemd.unit(5), the first wins.
var UnitFolders = []string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// unitKinds are the kinds of units that can be enabled.
var unitKinds = []string{".service", ".socket", ".timer", ".path", ".target", ".mount", ".automount", ".swap", ".slice"}

// FullName is the unit's name with its kind.
func (s SetService) FullName() string {
	if slices.Contains(unitKinds, path.Ext(s.Unit)) {
		return s.Unit
	}
	return s.Unit + ".service"
}

// File looks for the unit's file, that of its template, or a System V script of that name.
func (s SetService) File(m *machine.Machine) (file string, found bool) {
	names := []string{s.FullName()}
	if at := strings.Index(s.FullName(), "@"); at >= 0 {
		names = append(names, s.FullName()[:at+1]+path.Ext(s.FullName()))
	}
	for _, dir := range UnitFolders {
		for _, n := range names {
			file = dir + "/" + n
			if _, err := m.Root.Lstat(file); err == nil || s.Files.Has(file) {
				return file, true
			}
		}
	}
	file = "/etc/init.d/" + strings.TrimSuffix(s.FullName(), ".service")
	return file, m.Root.Exists(file) || s.Files.Has(file)
}

// Hint names the unit of the image that was probably meant: one of another kind, or of a similar name.
func (s SetService) Hint(m *machine.Machine) string {
	word := strings.TrimSuffix(s.FullName(), ".service")
	var names []string
	for _, dir := range UnitFolders {
		entries, _ := m.Root.ReadDir(dir) // a folder that is not there has none
		for _, e := range entries {
			kind := path.Ext(e.Name())
			switch stem := strings.TrimSuffix(e.Name(), kind); {
			case kind == ".service":
				names = append(names, stem)
			case slices.Contains(unitKinds, kind) && stem == word:
				return fmt.Sprintf("did you mean %q?", e.Name())
			case slices.Contains(unitKinds, kind):
				names = append(names, e.Name())
			}
		}
	}
	return config.DidYouMean(word, names, "install the package that has it in the same run")
}

// Replaces is where links to what is enabled are kept.
func (s SetService) Replaces(*machine.Machine) []plan.Replaced {
	return feature.Replaced(s.Path, path.Join(UnitFolders[0], s.FullName()+".wants")) // its folder is what is asked for
}

// Flags change what starts at boot.
func (Services) Flags() []feature.Flag {
	return []feature.Flag{
		feature.ListFlag("enable", "UNIT,...", "os.services.enable", "Start services at boot."),
		feature.ListFlag("disable", "UNIT,...", "os.services.disable", "Do not start services at boot."),
	}
}
