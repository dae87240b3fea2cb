// Package system is the system's settings: names, time zone, language, keymap, kernel modules and parameters, and the name
// servers of a run.
package system

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// Hostname is the name of the machine.
type Hostname string

// hostnameForm is a DNS name (RFC 1123): labels of 1 to 63 letters, digits and inner hyphens.
var hostnameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

// maxHostname is the longest name that Linux takes, in bytes (HOST_NAME_MAX).
const maxHostname = 64

// Describe tells how the name is written.
func (Hostname) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: hostnameForm.String(), Max: maxHostname}
}

// Validate checks the name's form.
func (h *Hostname) Validate(at *config.At) {
	if !hostnameForm.MatchString(string(*h)) || len(*h) > maxHostname {
		at.Errorf("hostname: %q is not a host name", string(*h)).
			Hint("use letters, digits, hyphens inside, and dots between parts; at most %d characters, no \"_\"", maxHostname)
	}
}

// Used tells whether there is a name.
func (h Hostname) Used() bool { return h != "" }

// Touches are the files that hold it.
func (Hostname) Touches() []feature.Touch {
	return []feature.Touch{{Path: hostnameFile}, {Path: hostsFile}}
}

// Plan sets the name.
func (h Hostname) Plan(*feature.Given) (plan.Plan, []plan.Problem) {
	return plan.Plan{SetHostname{string(h)}}, nil
}

// Record is the name.
func (h Hostname) Record() (any, error) { return feature.RecordIf(h.Used(), h) }

// The files that name the machine.
const (
	hostnameFile = "/etc/hostname"
	hostsFile    = "/etc/hosts"
)

// SetHostname writes /etc/hostname, and the name in /etc/hosts.
type SetHostname struct{ Hostname string }

// Name identifies the step.
func (SetHostname) Name() string { return "hostname" }

func (s SetHostname) String() string { return "set the host name to " + s.Hostname }

// Run writes the name without a newline, as the reference does. What /etc/hosts says of the old name, it says of the new one.
func (s SetHostname) Run(_ context.Context, m *machine.Machine) error {
	old, _ := m.Root.ReadFile(hostnameFile) // an image may have none
	if err := m.Root.WriteFile(hostnameFile, []byte(s.Hostname), 0o644); err != nil {
		return err
	}
	hosts, err := m.Root.ReadFile(hostsFile)
	if err != nil {
		return nil //nolint:nilerr // without the file, nothing names the machine there
	}
	text := renameHost(string(hosts), strings.TrimSpace(string(old)), s.Hostname)
	if text == string(hosts) {
		return nil
	}
	return m.Root.WriteFile(hostsFile, []byte(text), 0o644)
}

// renameHost gives the machine another name in the lines of hosts(5) for its own addresses, such as Debian's 127.0.1.1.
func renameHost(hosts, old, name string) string {
	if old == "" || old == "localhost" {
		return hosts
	}
	var b strings.Builder
	for line := range strings.Lines(hosts) {
		entry, comment, _ := strings.Cut(line, "#")
		f := strings.Fields(entry)
		if len(f) < 2 || !strings.HasPrefix(f[0], "127.") && f[0] != "::1" {
			b.WriteString(line)
			continue
		}
		b.WriteString(relined(line, entry, comment, renamedFields(f, old, name)))
	}
	return b.String()
}

// renamedFields are those of a line with the new name in the place of the old; a name with a domain is followed by its
// short form, as Debian writes it.
func renamedFields(fields []string, old, name string) []string {
	oldShort, _, _ := strings.Cut(old, ".")
	short, domain, _ := strings.Cut(name, ".")
	var list []string
	for _, word := range fields {
		head, tail, qualified := strings.Cut(word, ".")
		switch {
		case word != old && head != oldShort:
			list = append(list, word)
		case qualified && domain == "" && word != old:
			list = append(list, short+"."+tail)
		case slices.Contains(list, name):
		default:
			list = append(list, name)
			if domain != "" {
				list = append(list, short)
			}
		}
	}
	return list
}

// relined is a line of hosts(5) with other fields; one that has none others stays as it was written.
func relined(line, entry, comment string, fields []string) string {
	if slices.Equal(fields, strings.Fields(entry)) {
		return line
	}
	text := fields[0] + "\t" + strings.Join(fields[1:], " ")
	if comment != "" {
		return text + "\t#" + comment
	}
	return text + "\n"
}

// Replaces lists the names of the machine.
func (SetHostname) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("os.hostname", append([]string{hostnameFile}, feature.Present(m, hostsFile)...)...)
}

// Flags sets it.
func (Hostname) Flags() []feature.Flag {
	return []feature.Flag{feature.SetFlag("hostname", "NAME", "os.hostname", "Name of the machine.")}
}
