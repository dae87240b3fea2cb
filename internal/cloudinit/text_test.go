package cloudinit

import (
	"strings"
	"testing"
)

func TestTexts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind Kind
		text string
		line int
		want string // of the first mistake; empty for none
	}{
		{UserData, "#cloud-config\nhostname: x\n", 0, ""},
		{UserData, "#cloud-config \r\nhostname: x\r\n", 0, ""},
		{UserData, "#!/bin/sh\n: {[", 0, ""},
		{UserData, "#include https://example.org/x\n", 0, ""},
		{UserData, "## template: jinja\n#cloud-config\n{% if x %}", 0, ""},
		{UserData, "## template: jinja\nusers: []\n", 2, "by its first line"},
		{UserData, "#!/bin/sh\r\n:\r\n", 1, "as on Windows"},
		{UserData, "Content-Type: multipart/mixed; boundary=x\n\n", 0, ""},
		{UserData, "users:\n- bob\n", 1, "by its first line"},
		{UserData, "# cloud-config\nusers: []\n", 1, "by its first line"},
		{UserData, "#cloud_config\nusers: []\n", 1, "by its first line"},
		{UserData, "---\n#cloud-config\nusers: []\n", 1, "by its first line"},
		{UserData, "\n#cloud-config\nusers: []\n", 1, "by its first line"},
		{UserData, "\ufeff#cloud-config\nusers: []\n", 1, "byte order mark"},
		{UserData, "#cloud-config\nusers:\n\t- bob\n", 3, "not YAML"},
		{UserData, "#cloud-config\na: [x\n", 2, "not YAML"},
		{UserData, "#cloud-config\na: 1\nb: 2\na: 3\n", 4, "there twice, first in line 2"},
		{UserData, "#cloud-config\n- a\n", 2, "no mapping"},
		{UserData, "#cloud-config\n", 1, "nothing but comments"},
		{UserData, " \n", 1, "empty"},
		{VendorData, "hostname: x\n", 1, "by its first line"},
		{MetaData, "instance-id: x\nlocal-hostname: y\n", 0, ""},
		{MetaData, "instance-id\n", 1, "no mapping"},
		{NetworkConfig, "version: 2\nethernets:\n  all: {match: {name: 'e*'}, dhcp4: true}\n", 0, ""},
		{NetworkConfig, "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n      adresses: []\n", 6, `knows no key "adresses"`},
		{NetworkConfig, "network:\n  version: 2\n  ethernet: {}\n", 3, `knows no key "ethernet"`},
		{NetworkConfig, "version: 2\nethernets: [eth0]\n", 2, "no mapping of names"},
		{NetworkConfig, "ethernets: {}\n", 1, "no version"},
		{NetworkConfig, "version: 3\n", 1, `no version "3"`},
		{NetworkConfig, "version: 1\nethernets: {}\n", 1, "version 1 has its devices"},
		{NetworkConfig, "version: 1\nconfig: []\n", 0, ""},
		{NetworkConfig, "version: 1\nconfig: {type: physical}\n", 2, "no list of devices"},
		{NetworkConfig, "version: 1\nconfig: disabled\n", 0, ""},
		{NetworkConfig, "version: 2\nethernets:\n  a:\n    addresses: 192.0.2.7/24\n", 4, "addresses are no list"},
		{NetworkConfig, "version: 2\nethernets:\n  a:\n    addresses: [192.0.2.7]\n", 4, "is no address with the length"},
		{NetworkConfig, "version: 2\nethernets:\n  a:\n    match: {mac: x}\n", 4, `knows no key "mac"`},
		{NetworkConfig, "version: 2\nethernets:\n  a:\n    nameservers: [192.0.2.1]\n", 4, "nameservers is no mapping"},
		{NetworkConfig, "version: 2\nethernets:\n  a:\n    dhcp6-overrides: {metric: 1}\n", 4, `knows no key "metric"`},
		{NetworkConfig, "version: 2\nethernets:\n  a:\n    routes:\n    - via: 192.0.2.1\n", 5, `has no "to"`},
		{NetworkConfig, "version: 2\nethernets:\n  a:\n    routes: {to: default}\n", 4, "routes are no list"},
		{
			NetworkConfig, "version: 2\nethernets:\n  a:\n    match: {macaddress: '52:54:00:12:34:56'}\n    set-name: a\n    addresses: [192.0.2.7/24, '2001:db8::7/64']\n" +
				"    nameservers: {addresses: [192.0.2.1], search: [example.org]}\n    routes: [{to: 0.0.0.0/0, via: 192.0.2.1}]\n", 0, "",
		},
		{MetaData, "instance_id: x\n", 1, "reads no instance_id"},
		{Settings, "a: {b: 1, b: 2}\n", 1, "there twice"},
	} {
		got := Check(c.kind, c.text)
		switch {
		case c.want == "" && len(got) > 0, c.want != "" && len(got) == 0:
			t.Errorf("%s %q: %v", c.kind, c.text, got)
		case c.want != "" && (got[0].Line != c.line || !strings.Contains(got[0].Text, c.want)):
			t.Errorf("%s %q: %v, want %q in line %d", c.kind, c.text, got, c.want, c.line)
		}
	}
}

func TestOpenPasswords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"#cloud-config\npassword: x\n": 2, "#cloud-config\nusers:\n- plain_text_passwd: x": 3, "#cloud-config\nusers:\n- passwd: $6$x\n": 0, "password:\n": 0,
	} {
		if got := OpenPassword(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("#cloud-config\na: [&x 1, *x]\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, k := range []Kind{UserData, NetworkConfig} {
			for _, m := range Check(k, text) {
				if m.Line < 1 || m.Text == "" {
					t.Errorf("%+v", m)
				}
			}
		}
	})
}
