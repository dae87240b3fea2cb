package system

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// Host is an address and the names that it has on the machine, a line of /etc/hosts.
type Host struct {
	IP    HostAddress `yaml:"ip" required:"true" doc:"IPv4 or IPv6 address." example:"192.0.2.10"`
	Names []HostName  `yaml:"names" required:"true" doc:"Names of the address. The first is the one that the address is resolved to." example:"[db.example.org, db]"`
}

// Validate finds a name that is there twice but for the case of letters; the same spelling is found in every list.
func (h *Host) Validate(at *config.At) {
	for i, n := range h.Names {
		if other := slices.IndexFunc(h.Names[:i], n.is); other >= 0 && h.Names[other] != n {
			at.Field("names").Index(i).Errorf("%s is the same name as %s", n, h.Names[other]).Hint("remove it")
		}
	}
}

// HostAddress is an IP address.
type HostAddress string

// Describe tells how the address is written.
func (HostAddress) Describe() config.Form {
	return config.Form{Kind: "IP address", Pattern: `^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)$`}
}

// Validate checks that it is an address.
func (a *HostAddress) Validate(at *config.At) {
	switch parsed, err := netip.ParseAddr(string(*a)); {
	case err != nil:
		at.Errorf("%q is not an IP address", string(*a)).Hint("write it like 192.0.2.10 or 2001:db8::10")
	case parsed.Zone() != "":
		at.Errorf("%q names a network interface, which /etc/hosts cannot", string(*a)).Hint("leave out %q and what follows", "%")
	}
}

// plain is the one way to write the address.
func (a HostAddress) plain() netip.Addr {
	parsed, _ := netip.ParseAddr(string(a)) // validated, or of the image
	return parsed.Unmap()
}

// HostName is a name in /etc/hosts.
type HostName string

// nameForm is a DNS name whose labels may hold underscores too, as those of services do.
var nameForm = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$`)

// numericName is what the resolver takes for an address, without looking into the file.
var numericName = regexp.MustCompile(`^(0[xX][0-9A-Fa-f]+|[0-9]+)(\.(0[xX][0-9A-Fa-f]+|[0-9]+)){0,3}$`)

// maxName is the longest DNS name, in bytes.
const maxName = 253

// Describe tells how the name is written.
func (HostName) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: nameForm.String(), Except: numericName.String(), Max: maxName}
}

// Validate checks the name's form.
func (n *HostName) Validate(at *config.At) {
	switch s := string(*n); {
	case numericName.MatchString(s):
		at.Errorf("%q is a number or an address, not a name: it would never be looked up", s).Hint("write a name with a letter in its last part")
	case !nameForm.MatchString(s) || len(s) > maxName:
		at.Errorf("%q is not a host name", s).Hint("write one name: letters, digits, \"-\" and \"_\", with dots between parts of at most 63")
	}
}

// is compares names as the resolver does.
func (n HostName) is(other HostName) bool { return strings.EqualFold(string(n), string(other)) }

// Hosts are the lines to add to /etc/hosts.
type Hosts []Host

// Validate finds an address that is there twice.
func (l *Hosts) Validate(at *config.At) {
	feature.Unique(at, "ip", *l, func(h Host) string {
		if a := h.IP.plain(); a.IsValid() {
			return a.String()
		}
		return "" // reported already
	})
}

// Used tells whether there are some.
func (l Hosts) Used() bool { return len(l) > 0 }

// Touches is the file.
func (Hosts) Touches() []feature.Touch { return []feature.Touch{{Path: hostsFile}} }

// Plan adds all lines in one step.
func (l Hosts) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	return plan.Plan{AddHosts{l, g.Hostname, g.Files}}, nil
}

// Record is the list.
func (l Hosts) Record() (any, error) {
	return feature.RecordEach(l, func(h Host) (map[string]any, error) { return map[string]any{"ip": h.IP, "names": h.Names}, nil })
}

// AddHosts adds lines to /etc/hosts. Those of the image stay as they are.
type AddHosts struct {
	Hosts    Hosts
	Hostname string           // that the machine has by then; empty for that of the image
	Files    feature.Supplied // among which may be /etc/hosts
}

// Name identifies the step.
func (AddHosts) Name() string { return "hosts" }

func (s AddHosts) String() string {
	var words []string
	for _, h := range s.Hosts {
		words = append(words, string(h.IP)+" ("+spaced(h.Names)+")")
	}
	return "add to " + hostsFile + ": " + strings.Join(words, ", ")
}

func spaced(names []HostName) string {
	words := make([]string, len(names))
	for i, n := range names {
		words[i] = string(n)
	}
	return strings.Join(words, " ")
}

// Replaces is the file.
func (AddHosts) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("os.hosts", feature.Present(m, hostsFile)...)
}

// Check finds names to which the image gives another address.
func (s AddHosts) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	text, _ := s.Files.ReadFile(m, hostsFile) // an image may have none
	if old, err := m.Root.ReadFile(hostnameFile); err == nil && s.Hostname != "" && !s.Files.Has(hostsFile) {
		text = []byte(renameHost(string(text), strings.TrimSpace(string(old)), s.Hostname))
	}
	return s.conflicts(parseHosts(string(text)))
}

// conflicts are names of which the machine would not know which address to take: the first line counts for some programs,
// both do for others.
func (s AddHosts) conflicts(there []Host) (problems []plan.Problem) {
	for i, h := range s.Hosts {
		for j, n := range h.Names {
			for _, other := range there {
				a, b := h.IP.plain(), other.IP.plain()
				if a != b && a.Is4() == b.Is4() && slices.ContainsFunc(other.Names, n.is) {
					problems = append(problems, plan.Problem{
						Path: fmt.Sprintf("os.hosts[%d].names[%d]", i, j), Text: fmt.Sprintf("%s of the image gives %s the address %s", hostsFile, n, b),
						Hint: "use that address, another name, or write the whole file with additionalFiles",
					})
					break
				}
			}
		}
	}
	return problems
}

// Run adds what is not there yet.
func (s AddHosts) Run(_ context.Context, m *machine.Machine) error {
	text, _ := m.Root.ReadFile(hostsFile) // an image may have none; AppendLines says what else is wrong with it
	there := parseHosts(string(text))
	if problems := s.conflicts(there); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	var lines []string
	for _, h := range s.Hosts {
		if missing := h.without(there); len(missing) > 0 {
			lines = append(lines, string(h.IP)+"\t"+spaced(missing))
		}
	}
	return m.Root.AppendLines(hostsFile, 0o644, lines...)
}

// without are the names that no line gives the address.
func (h Host) without(there []Host) (missing []HostName) {
	for _, n := range h.Names {
		if !slices.ContainsFunc(there, func(o Host) bool { return o.IP.plain() == h.IP.plain() && slices.ContainsFunc(o.Names, n.is) }) {
			missing = append(missing, n)
		}
	}
	return missing
}

// parseHosts reads the lines of hosts(5), but for those without an address.
func parseHosts(text string) (list []Host) {
	for line := range strings.Lines(text) {
		entry, _, _ := strings.Cut(line, "#")
		fields := strings.Fields(entry)
		if len(fields) < 2 || !HostAddress(fields[0]).plain().IsValid() {
			continue
		}
		h := Host{IP: HostAddress(fields[0])}
		for _, f := range fields[1:] {
			h.Names = append(h.Names, HostName(f))
		}
		list = append(list, h)
	}
	return list
}
