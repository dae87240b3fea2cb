package system

import (
	"context"
	"strings"
	"testing"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/plan"
)

func TestHostsAreAdded(t *testing.T) {
	t.Parallel()
	const own = "127.0.0.1\tlocalhost\n# kept\n::1     localhost ip6-localhost # loopback\n"
	for _, c := range []struct{ there, yaml, want string }{
		{own, "[{ip: 192.0.2.10, names: [db.example.org, db]}]", own + "192.0.2.10\tdb.example.org db\n"},
		{own + "192.0.2.10 db\n", "[{ip: 192.0.2.10, names: [db.example.org, DB]}]", own + "192.0.2.10 db\n192.0.2.10\tdb.example.org\n"},
		{"192.0.2.10 db", "[{ip: 192.0.2.11, names: [web]}, {ip: '2001:db8::1', names: [db]}]", "192.0.2.10 db\n192.0.2.11\tweb\n2001:db8::1\tdb\n"},
		{"2001:0db8:0::1 db\n", "[{ip: '2001:db8::1', names: [db]}]", "2001:0db8:0::1 db\n"},
		{"#192.0.2.9 db\n", "[{ip: 192.0.2.10, names: [_db]}]", "#192.0.2.9 db\n192.0.2.10\t_db\n"},
		{"", "[{ip: 192.0.2.10, names: [db]}]", "192.0.2.10\tdb\n"},
	} {
		files := map[string]string{"etc/x": ""}
		if c.there != "" {
			files["etc/hosts"] = c.there
		}
		m := featuretest.Tree(t, files)
		s := AddHosts{Hosts: featuretest.Parse[systemTest](t, "os: {hosts: "+c.yaml+"}").OS.Hosts}
		featuretest.MustRun(t, m, s, s) // the second adds nothing
		if got := featuretest.Read(t, m, hostsFile); got != c.want {
			t.Errorf("%s: %q, want %q", c.yaml, got, c.want)
		}
	}
}

func TestHostsOfTheImageAreNotContradicted(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{"etc/hostname": "old\n", "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 old\n192.0.2.9 db\n"})
	file := "192.0.2.7 gw\n"
	for yaml, want := range map[string]string{
		"hosts: [{ip: 192.0.2.10, names: [new, DB]}]":                 "names[1]: /etc/hosts of the image gives DB the address 192.0.2.9",
		"hostname: new, hosts: [{ip: 192.0.2.10, names: [new]}]":      "names[0]: /etc/hosts of the image gives new the address 127.0.1.1",
		"hosts: [{ip: '2001:db8::1', names: [db]}]":                   "",
		"hosts: [{ip: 192.0.2.10, names: [gw]}]":                      "names[0]: /etc/hosts of the image gives gw the address 192.0.2.7",
		"hosts: [{ip: '::ffff:192.0.2.9', names: [db]}]":              "",
		"hostname: new, hosts: [{ip: 192.0.2.10, names: [old, b.c]}]": "",
	} {
		g := &feature.Given{Facts: featuretest.DebianFacts}
		if strings.Contains(yaml, "gw") {
			g.Files.Files = []feature.SuppliedFile{{Destination: hostsFile, Content: &file}}
		}
		if rest, new := strings.CutPrefix(yaml, "hostname: new, "); new {
			yaml, g.Hostname = rest, "new"
		}
		p, _ := featuretest.Parse[systemTest](t, "os: {"+yaml+"}").OS.Hosts.Plan(g)
		var got string
		for _, pr := range p[0].(plan.Checker).Check(context.Background(), m) {
			got += strings.TrimPrefix(pr.Path, "os.hosts[0].") + ": " + pr.Text
		}
		if got != want {
			t.Errorf("%s: %q, want %q", yaml, got, want)
		}
	}
}

func TestHostsAreChecked(t *testing.T) {
	t.Parallel()
	featuretest.Mistakes[systemTest](t, "hosts", map[string]string{
		"[{ip: 192.0.2.300, names: [a]}]":                       `2:16: error: "192.0.2.300" is not an IP address`,
		"[{ip: example.org, names: [a]}]":                       "not an IP address",
		"[{ip: 'fe80::1%eth0', names: [a]}]":                    "names a network interface",
		"[{ip: 192.0.2.1, names: [a b]}]":                       `"a b" is not a host name`,
		"[{ip: 192.0.2.1, names: ['a#b']}]":                     "not a host name",
		"[{ip: 192.0.2.1, names: [192.0.2.2]}]":                 "is a number or an address",
		"[{ip: 192.0.2.1, names: [a, A]}]":                      "2:38: error: A is the same name as a",
		"[{ip: '::1', names: [a]}, {ip: '0:0::1', names: [b]}]": "is in this list twice",
		"[{ip: 192.0.2.1}]":                                     "names is missing",
		"[{names: [a]}]":                                        "ip is missing",
		"[{ip: 192.0.2.1, names: []}]":                          "names",
	})
}
