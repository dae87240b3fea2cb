package step

import (
	"context"
	"fmt"
	"path"
	"strings"

	"imagecustomizer/internal/config"
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

// Validate checks the name's form.
func (n *UnitName) Validate(at *config.At) {
	if *n == "" || strings.ContainsAny(string(*n), " \t\n/") || strings.HasPrefix(string(*n), "-") {
		at.Errorf("%q is not the name of a service", string(*n)).Hint("write a unit's name, such as sshd or cron.timer")
	}
}

// Validate finds a service in both lists.
func (s *Services) Validate(at *config.At) {
	for i, d := range s.Disable {
		for _, e := range s.Enable {
			if d == e {
				at.Field("disable").Index(i).Errorf("%s is to be enabled and disabled", d).Hint("remove it from one of the lists")
			}
		}
	}
}

func planServices(c *Config) (p plan.Plan) {
	for _, n := range c.OS.Services.Enable {
		p = append(p, SetService{string(n), true})
	}
	for _, n := range c.OS.Services.Disable {
		p = append(p, SetService{string(n), false})
	}
	return p
}

// SetService enables or disables a systemd unit.
type SetService struct {
	Unit   string
	Enable bool
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

// Run asks the image's systemctl, after making sure that the unit exists: disabling an unknown one
// succeeds without a word.
func (s SetService) Run(ctx context.Context, m *machine.Machine) error {
	if !s.exists(m) {
		return fmt.Errorf("the image has no service %s", s.Unit)
	}
	c := hostcmd.New("systemctl", s.verb(), s.Unit)
	c.Env = append([]string{"SYSTEMD_OFFLINE=1"}, hostcmd.DefaultEnv...)
	return m.Run(ctx, c)
}

// unitFolders are where systemd looks for units that can be enabled, systemd.unit(5).
var unitFolders = []string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// exists looks for the unit's file, that of its template, or a System V script of that name.
func (s SetService) exists(m *machine.Machine) bool {
	unit := s.Unit
	if !strings.Contains(unit, ".") || path.Ext(unit) == "" {
		unit += ".service"
	}
	names := []string{unit, s.Unit + ".service"}
	if at := strings.Index(unit, "@"); at >= 0 {
		names = append(names, unit[:at+1]+path.Ext(unit))
	}
	for _, dir := range unitFolders {
		for _, n := range names {
			if _, err := m.Root.Lstat(dir + "/" + n); err == nil {
				return true
			}
		}
	}
	return m.Root.Exists("/etc/init.d/" + strings.TrimSuffix(unit, ".service"))
}
