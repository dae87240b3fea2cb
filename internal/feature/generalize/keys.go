package generalize

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/identity"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// keyServer is a server with keys of its own.
type keyServer struct {
	row   string
	units []string       // that start it
	makes *regexp.Regexp // what makes keys, in a unit's commands
	tool  string
	unit  string // ours, for images in which nobody does
	text  func(tool string) string
}

// keyServers are those whose keys are taken out.
var keyServers = []keyServer{
	{
		row: "ssh-host-keys", units: []string{"ssh.service", "sshd.service", "ssh@.service", "sshd@.service"},
		makes: regexp.MustCompile(`(?m)^Exec\w+=.*(ssh-keygen\s.*-A\b|sshd-keygen)`), tool: "ssh-keygen", unit: "ssh-host-keys.service",
		text: func(tool string) string { return tool + " -A" },
	},
	{
		row: "dropbear-host-keys", units: []string{"dropbear.service", "dropbear@.service"},
		makes: regexp.MustCompile(`(?m)^Exec\w+=.*(dropbearkey|dropbear\s.*-\w*R)`), tool: "dropbearkey", unit: "dropbear-host-keys.service",
		text: func(tool string) string {
			return `/bin/sh -c 'for t in rsa ecdsa ed25519; do f=/etc/dropbear/dropbear_$${t}_host_key; [ -s $$f ] || ` + tool + ` -t $$t -f $$f; done'`
		},
	},
}

// there are the server's units that the image has.
func (k keyServer) there(u identity.Units) []string {
	return slices.DeleteFunc(slices.Clone(k.units), func(n string) bool { return u.Text(n) == "" })
}

// maker is the unit that makes the keys at every boot on which they are missing; empty where none does. One that does so on
// the first boot only is none: that may be cut off. Nor is cloud-init, which does nothing where it finds no data.
func (k keyServer) maker(u identity.Units) string {
	for _, name := range u.Started(slices.Concat(bootTargets, k.there(u))...) {
		text := u.Of(name)
		if k.makes.MatchString(text) && !slices.Contains(identity.Values(text, "ConditionFirstBoot"), "yes") {
			return name
		}
	}
	return ""
}

// makeAtBoot has the keys made when the server is started.
func (k keyServer) makeAtBoot(m *machine.Machine) error {
	u := identity.Units{Root: m.Root, Kind: "system"}
	units := k.there(u)
	if len(units) == 0 {
		return nil // nothing starts it
	}
	if by := k.maker(u); by != "" {
		m.Log.Debug("keys are made at boot", "row", k.row, "by", by)
		return nil
	}
	tool := machine.FindProgram(m.Root, k.tool)
	sync := ""
	if p := machine.FindProgram(m.Root, "sync"); p != "" {
		sync = "ExecStartPost=-" + p + "\n"
	}
	text := "[Unit]\nDescription=Make the host keys that are missing\nConditionPathIsReadWrite=/etc\n" +
		"After=sshd-keygen.service sshd-keygen.target cloud-init.service cloud-init-network.service\nBefore=" + strings.Join(units, " ") + "\n\n" +
		"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=" + k.text(tool) + "\n" + sync
	if err := m.Root.MkdirAll(u.Etc(), 0o755); err != nil {
		return err
	}
	if err := m.Root.WriteFile(path.Join(u.Etc(), k.unit), []byte(text), 0o644); err != nil {
		return err
	}
	for _, name := range units {
		if err := writeDropIn(m, name, "host-keys.conf", "[Unit]\nWants="+k.unit+"\nAfter="+k.unit+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// MakeHostKeys has the keys of sshd made at boot where the image has none, and nobody else does so.
func MakeHostKeys(m *machine.Machine) error {
	ssh := keyServers[0]
	row, _ := identity.Find(ssh.row)
	if len((&identity.System{Root: m.Root}).Find(row)) > 0 || machine.FindProgram(m.Root, ssh.tool) == "" {
		return nil
	}
	return ssh.makeAtBoot(m)
}

// checkKeys finds keys that nobody would make again.
func (s Clean) checkKeys(m *machine.Machine) (problems []plan.Problem) {
	sys, u := s.system(m), identity.Units{Root: m.Root, Kind: "system"}
	for _, r := range s.rows() {
		i := slices.IndexFunc(keyServers, func(k keyServer) bool { return k.row == r.Name })
		if i < 0 || len(sys.Find(r)) == 0 {
			continue
		}
		if why := s.whyLost(m, keyServers[i], u); why != "" {
			problems = append(problems, plan.Problem{
				Path: "os.generalize", Text: fmt.Sprintf("%s would be gone for good: %s", r.What, why),
				Hint: fmt.Sprintf("add \"skip: [%s]\", and make them at boot by other means", r.Name),
			})
		}
	}
	return problems
}

// whyLost says why keys that are taken out are not made at boot.
func (s Clean) whyLost(m *machine.Machine, k keyServer, u identity.Units) string {
	others := otherHostKeys(m)
	switch {
	case len(k.there(u)) == 0 && m.Root.Exists("/etc/init.d/"+strings.TrimSuffix(k.units[0], ".service")):
		return "the image has no unit of systemd that starts the server, and nobody makes them at boot"
	case len(k.there(u)) == 0:
		return ""
	case s.readOnly(m, false):
		return "the root cannot be written at boot"
	case k.row == "ssh-host-keys" && len(others) > 0:
		return "/etc/ssh/sshd_config names " + strings.Join(others, ", ") + ", which no program makes anew, and which clones would share"
	case k.maker(u) == "" && machine.FindProgram(m.Root, k.tool) == "":
		return "the image has no " + k.tool
	}
	return ""
}

// otherHostKeys are keys of sshd that do not have the usual names.
func otherHostKeys(m *machine.Machine) (names []string) {
	text, _ := m.Root.ReadFile("/etc/ssh/sshd_config") // an image may have none
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 2 && strings.EqualFold(f[0], "HostKey") && !strings.HasPrefix(f[1], "/etc/ssh/ssh_host_") && m.Root.Exists(f[1]) {
			names = append(names, f[1])
		}
	}
	return names
}
