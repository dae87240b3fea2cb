package scripts

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature/services"
	"imagecustomizer/internal/identity"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// checkUnits finds units that are not there, and those that start before any script can.
func (s AddFirstBoot) checkUnits(m *machine.Machine, at string, x FirstBootScript) (problems []plan.Problem) {
	for _, ref := range []struct {
		key  string
		name services.UnitName
	}{{".before", x.Before}, {".after", x.After}} {
		unit := services.SetService{Unit: string(ref.name), Files: s.Files}
		if _, found := unit.File(m); ref.name != "" && !found {
			problems = append(problems, plan.Problem{Path: at + ref.key, Text: "the image has no unit " + string(ref.name), Hint: unit.Hint(m), Later: true})
		}
	}
	u := identity.Units{Root: m.Root, Kind: "system"}
	before, after := unitOf(x.Before), unitOf(x.After)
	problem := func(why string) {
		problems = append(problems, plan.Problem{
			Path: at + ".before", Text: fmt.Sprintf("the script cannot end before %s starts: %s; systemd would leave out one of them", before, why),
			Hint: "name a service that starts later, or remove before",
		})
	}
	switch {
	case before == "":
	case path.Ext(before) != ".service" && path.Ext(before) != ".target" || slices.Contains(u.Started("basic.target", "sysinit.target", "sockets.target"), before) || isEarly(u, before):
		problem("that belongs to the basic system, which the script needs")
	case x.Network && (slices.Contains(u.Started("network-online.target", "network.target"), before) || strings.HasPrefix(before, "network")):
		problem("that brings up the network, for which the script waits")
	case after != "" && (slices.Contains(identity.Values(u.Text(after), "After"), before) || slices.Contains(identity.Values(u.Text(before), "Before"), after)):
		problem("that starts before " + after + ", for which the script waits")
	}
	return problems
}

// isEarly tells whether a unit does without what all services start behind.
func isEarly(u identity.Units, name string) bool {
	return slices.ContainsFunc(identity.Values(u.Text(name), "DefaultDependencies"), func(v string) bool { return v == "no" || v == "false" || v == "0" || v == "off" })
}

// volatileVar says why what is written to /var is gone at the next boot, or cannot be written.
func volatileVar(m *machine.Machine) string {
	text, _ := m.Root.ReadFile("/etc/fstab") // without one, /var lies on the root
	for _, e := range disk.ParseFstab(string(text)).Entries() {
		switch {
		case !slices.Contains([]string{"/var", "/var/lib"}, e.Target):
		case e.Type == "tmpfs":
			return e.Target + " is a tmpfs in /etc/fstab, and empty at each boot"
		case slices.Contains(e.Options, "ro"):
			return e.Target + " is mounted read-only by /etc/fstab"
		}
	}
	return ""
}

// waiters are units that wait until the network is up.
var waiters = []string{"systemd-networkd-wait-online.service", "NetworkManager-wait-online.service", "ifupdown-wait-online.service", "networking.service", "cloud-init.service"}

// warnNetwork warns where nothing waits for the network, so that a script that needs it would start too early.
func (s AddFirstBoot) warnNetwork(m *machine.Machine) {
	online := identity.Units{Root: m.Root, Kind: "system"}.Started("network-online.target", "multi-user.target")
	waits := slices.ContainsFunc(waiters, func(w string) bool { return slices.Contains(online, w) })
	if slices.ContainsFunc(s.Scripts, func(x FirstBootScript) bool { return x.Network }) && !waits {
		m.Log.Warn("nothing in the image waits for the network, so that first-boot scripts may begin before it is up: enable " + waiters[0] + ", or what the image's network has instead")
	}
}
