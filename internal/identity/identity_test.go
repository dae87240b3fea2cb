package identity

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/rootfs"
)

// homes are where the users of the planted image live.
var homes = []string{"/root", "/home/alice", "/srv/elsewhere"}

const passwd = "root:x:0:0::/root:/bin/sh\nbob:x:1001:1001::/srv/elsewhere:/bin/sh\ndaemon:x:1:1::/usr/sbin:/bin/false\nnobody:x:9:9::/nonexistent:/bin/false\n"

// instances are paths that a glob means, one for each place.
func instances(glob string) (paths []string) {
	one := strings.NewReplacer("/**/", "/a/b/", "/**", "/a/b/file", "[0-9]", "7", "*", "x").Replace
	switch {
	case strings.HasPrefix(glob, "~/"):
		for _, h := range homes {
			paths = append(paths, h+one(glob[1:]))
		}
	case strings.HasPrefix(glob, "{esp}"):
		for _, e := range []string{"/boot", "/efi", "/boot/efi", "/boot/firmware"} {
			paths = append(paths, e+one(glob[len("{esp}"):]))
		}
	default:
		paths = []string{one(glob)}
	}
	return paths
}

// planted is a text that a row takes out.
func planted(r Row) string {
	switch r.Name {
	case "machine-id":
		return strings.Repeat("0123abcd", 4) + "\n"
	case "machine-id-argument":
		return "options quiet systemd.machine_id=0123 rw\n"
	case "iscsi-initiator":
		return "InitiatorName=iqn.1993-08.org.debian:01:0123\n"
	case "snmp-engine":
		return "engineBoots 4\noldEngineID 0x8000\nkept 1\n"
	case "net-hardware":
		return "DEVICE=eth0\nHWADDR=00:11:22:33:44:55\n UUID=1\n"
	}
	return "text\n"
}

func plant(t *testing.T, files map[string]string) *System {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		must(t, os.MkdirAll(filepath.Dir(dir+name), 0o755))
		must(t, os.WriteFile(dir+name, []byte(text), 0o640))
	}
	root, err := rootfs.New(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	return &System{Root: root, ESPs: []string{"/boot/firmware"}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestEveryRowFindsAndClears plants each place of each row in an image of its own.
func TestEveryRowFindsAndClears(t *testing.T) {
	t.Parallel()
	for _, r := range Table {
		files := map[string]string{"/etc/passwd": passwd, "/usr/bin/tool": "kept", "/etc/other": "kept", "/lib/open-iscsi/startup-checks.sh": ""}
		var want []string
		for _, g := range r.Globs {
			for _, p := range instances(g) {
				files[p] = planted(r)
				want = append(want, p)
			}
		}
		s := plant(t, files)
		found := s.Find(r)
		for _, p := range want {
			if !slices.ContainsFunc(found, func(f string) bool { return f == p || strings.HasPrefix(p, f+"/") }) {
				t.Errorf("%s: %s is not found in %v", r.Name, p, found)
			}
		}
		for _, name := range found {
			must(t, s.Clear(r, name))
		}
		if again := s.Find(r); len(again) > 0 || s.Err != nil {
			t.Errorf("%s: %v is left: %v", r.Name, again, s.Err)
		}
		for _, p := range want {
			text, err := s.Root.ReadFile(p)
			if gone := err != nil; gone != (r.How == Delete) || strings.Contains(string(text), "0123") || r.How == Truncate && len(text) > 0 {
				t.Errorf("%s: %s holds %q, %v", r.Name, p, text, err)
			}
		}
		for _, p := range []string{"/usr/bin/tool", "/etc/other"} {
			if text, err := s.Root.ReadFile(p); err != nil || string(text) != "kept" {
				t.Errorf("%s: %s: %q, %v", r.Name, p, text, err)
			}
		}
	}
}

func TestTraces(t *testing.T) {
	t.Parallel()
	s := plant(t, map[string]string{"/etc/machine-id": "uninitialized\n", "/etc/hostname": "x\n", "/etc/ssh/ssh_host_rsa_key": "k", "/boot/firmware/loader/random-seed": "s"})
	traces, err := s.Traces()
	var got []string
	for _, f := range traces {
		got = append(got, f.Row+" "+strings.Join(f.Files, " "))
	}
	want := []string{"ssh-host-keys /etc/ssh/ssh_host_rsa_key", "esp-random-seed /boot/firmware/loader/random-seed", "host-name /etc/hostname"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	many := map[string]string{}
	for i := range maxTraced + 5 {
		many[fmt.Sprintf("/etc/ssh/ssh_host_%d", i)] = "k"
	}
	if traces, err := plant(t, many).Traces(); err != nil || len(traces) != 1 || len(traces[0].Files) != maxTraced || traces[0].Count != maxTraced+5 {
		t.Errorf("%d traces, %v", len(traces), err)
	}
}

// TestTableIsWhole holds the table against a list of traces that was written by itself, and drops each row.
func TestTableIsWhole(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/traces.txt")
	must(t, err)
	missing := func(table []Row) (lines []string) {
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line) // level, name, file, how
			i := slices.IndexFunc(table, func(r Row) bool { return r.Name == f[1] })
			if i < 0 || string(table[i].Level) != f[0] || string(table[i].How) != f[3] || !slices.ContainsFunc(table[i].Globs, func(g string) bool {
				return Match(strings.NewReplacer("~", "/home/*", "{esp}", "/boot").Replace(g), f[2])
			}) {
				lines = append(lines, line)
			}
		}
		return lines
	}
	if m := missing(Table); len(m) > 0 {
		t.Errorf("the table does not have %v", m)
	}
	for i, r := range Table {
		if len(missing(slices.Delete(slices.Clone(Table), i, i+1))) == 0 {
			t.Errorf("nobody would notice that the row %s is gone: add what it is for to testdata/traces.txt", r.Name)
		}
		if r.What == "" || r.Why == "" || len(r.Globs) == 0 || r.Level == "" || r.How == "" || r.How == Reset && r.drop == nil && r.none == nil {
			t.Errorf("%s is not whole", r.Name)
		}
	}
}

// TestEveryTraceGoes plants each of those traces in an image of its own.
func TestEveryTraceGoes(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/traces.txt")
	must(t, err)
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		r, _ := Find(f[1])
		s := plant(t, map[string]string{f[2]: planted(r), "/lib/open-iscsi/startup-checks.sh": ""})
		for _, name := range s.Find(r) {
			must(t, s.Clear(r, name))
		}
		text, err := s.Root.ReadFile(f[2])
		if gone := err != nil; gone != (f[3] == "delete") || f[3] == "truncate" && len(text) > 0 || string(text) == planted(r) {
			t.Errorf("%s holds %q, %v", f[2], text, err)
		}
	}
}

// TestReset has what files hold besides stay.
func TestReset(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, before, after string }{
		"net-hardware":        {"/etc/sysconfig/network-scripts/ifcfg-a", "DEVICE=a\nHWADDR=00:11\n UUID=1\nDHCP_HOSTNAME=h\nBOOTPROTO=dhcp\n", "DEVICE=a\nBOOTPROTO=dhcp\n"},
		"machine-id-argument": {"/boot/loader/entries/x.conf", "options quiet systemd.machine_id=0123 rw\n", "options quiet rw\n"},
		"snmp-engine":         {"/var/lib/snmp/snmpd.conf", "engineBoots 4\noldEngineID 0x80\nusmUser 1\n", "usmUser 1\n"},
	} {
		r, _ := Find(name)
		s := plant(t, map[string]string{c.file: c.before})
		for _, f := range s.Find(r) {
			must(t, s.Clear(r, f))
		}
		if text, err := s.Root.ReadFile(c.file); err != nil || string(text) != c.after {
			t.Errorf("%s: %q, want %q, %v", name, text, c.after, err)
		}
	}
}

// TestLinksDoNotLeadAstray: what lies behind links that lead out of where a row looks stays.
func TestLinksDoNotLeadAstray(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.WriteFile(outside, []byte("host"), 0o600))
	s := plant(t, map[string]string{"/usr/lib/x": "kept", "/var/mail/alice": "mail", "/etc/ssh/x": "kept", "/etc/passwd": passwd, "/usr/sbin/.cache/x": "kept", "/srv/elsewhere/.cache/x": "", "/var/home/carol/.bash_history": "x"})
	dir := s.Root.Dir()
	for name, to := range map[string]string{
		"/tmp": "usr/lib", "/var/tmp": "/usr", "/var/spool/mail": "../mail", "/root": "/etc", "/home": "/var/home", "/var/log": filepath.Dir(outside),
		"/etc/machine-id": outside, "/var/lib/dbus/machine-id": "/etc/machine-id", "/srv/elsewhere/.ssh": "/etc/ssh", "/etc/krb5.keytab": outside,
	} {
		must(t, os.MkdirAll(filepath.Dir(dir+name), 0o755))
		must(t, os.Symlink(to, dir+name))
	}
	var astray []string
	s.Astray = func(link string) { astray = append(astray, link) }
	for _, r := range Table {
		for _, name := range s.Find(r) {
			must(t, s.Clear(r, name))
		}
	}
	for _, name := range []string{"/usr/lib/x", "/etc/ssh/x", "/etc/passwd", "/usr/sbin/.cache/x", "/var/lib/dbus/machine-id"} {
		if _, err := os.Lstat(dir + name); err != nil {
			t.Errorf("%s is gone", name)
		}
	}
	for _, name := range []string{"/etc/krb5.keytab", "/srv/elsewhere/.cache/x", "/var/home/carol/.bash_history"} {
		if _, err := os.Lstat(dir + name); err == nil {
			t.Errorf("%s is left", name)
		}
	}
	if text, _ := s.Root.ReadFile("/var/mail/alice"); len(text) > 0 {
		t.Error("a link to a folder of the same name was not followed")
	}
	if text, _ := os.ReadFile(outside); string(text) != "host" {
		t.Errorf("the host's file holds %q", text)
	}
	if !slices.Contains(astray, "/tmp") || !slices.Contains(astray, "/var/tmp") || slices.Contains(astray, "/var/spool/mail") {
		t.Errorf("astray: %v", astray)
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	s := plant(t, map[string]string{"/var/tmp/a/b/c": "", "/var/tmp/a/d": "", "/var/tmp/e": "", "/var/log/installer/x/y": "text", "/var/log/other": "text"})
	s.Keep = []string{"/var/tmp/a/b", "/var/log/installer/**"}
	for _, r := range Table {
		for _, name := range s.Find(r) {
			must(t, s.Clear(r, name))
		}
	}
	for name, want := range map[string]bool{"/var/tmp/a/b/c": true, "/var/tmp/a/d": false, "/var/tmp/e": false, "/var/log/installer/x/y": true} {
		if s.Root.Exists(name) != want {
			t.Errorf("%s is there: %v", name, !want)
		}
	}
	if text, _ := s.Root.ReadFile("/var/log/other"); len(text) > 0 {
		t.Error("a log that is not kept is not empty")
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		glob, name string
		want       bool
	}{
		{"/a/**", "/a/b/c", true},
		{"/a/**", "/a", false},
		{"/a/*", "/a/b/c", true},
		{"/a/**/*.gz", "/a/x.gz", true},
		{"/a/**/*.gz", "/a/b/c/x.gz", true},
		{"/a/**/*.gz", "/a/b/x", false},
		{"/a", "/ab", false},
		{"/a/b", "/a", false},
	} {
		if got := Match(c.glob, c.name); got != c.want {
			t.Errorf("%s %s: %v", c.glob, c.name, got)
		}
	}
}

// TestInitiatorWithoutAGenerator: a unit that makes the file where it is missing must find none.
func TestInitiatorWithoutAGenerator(t *testing.T) {
	t.Parallel()
	s := plant(t, map[string]string{"/etc/iscsi/initiatorname.iscsi": "InitiatorName=iqn.x\n"})
	r, _ := Find("iscsi-initiator")
	must(t, s.Clear(r, "/etc/iscsi/initiatorname.iscsi"))
	if s.Root.Exists("/etc/iscsi/initiatorname.iscsi") {
		t.Error("a unit that makes the file where it is missing would not")
	}
}

// TestPresetsKeepUnits has units of each kind in each state.
func TestPresetsKeepUnits(t *testing.T) {
	t.Parallel()
	const install = "[Install]\nWantedBy=multi-user.target\n"
	s := plant(t, map[string]string{
		"/usr/lib/systemd/system/on.service": install, "/usr/lib/systemd/system/off.service": install, "/usr/lib/systemd/system/static.service": "[Unit]\n",
		"/usr/lib/systemd/system/masked.service": install, "/usr/lib/systemd/system/getty@.service": "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n",
		"/usr/lib/systemd/system/off@.service": install, "/etc/systemd/system/own.timer": "[Install]\nWantedBy=timers.target\n",
		"/usr/lib/systemd/system/named.service": "[Install]\nAlias=other.service\n", "/usr/lib/systemd/system/also.socket": install,
		"/usr/lib/systemd/system/part.service": "[Install]\nWantedBy=multi-user.target\nAlso=also.socket\n",
	})
	dir := s.Root.Dir() + "/etc/systemd/system/"
	for name, to := range map[string]string{
		"multi-user.target.wants/on.service": "/usr/lib/systemd/system/on.service", "masked.service": "/dev/null",
		"getty.target.wants/getty@tty2.service": "/usr/lib/systemd/system/getty@.service", "getty.target.wants/getty@tty1.service": "/usr/lib/systemd/system/getty@.service",
		"other.service": "/usr/lib/systemd/system/named.service", "multi-user.target.wants/part.service": "/usr/lib/systemd/system/part.service",
	} {
		must(t, os.MkdirAll(filepath.Dir(dir+name), 0o755))
		must(t, os.Symlink(to, dir+name))
	}
	text, lost := Units{Root: s.Root, Kind: "system"}.Presets()
	want := "disable also.socket\nenable getty@.service tty1 tty2\nenable named.service\ndisable off.service\ndisable off@.service\nenable on.service\ndisable own.timer\nenable part.service\n"
	if text != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	if !slices.Equal(lost, []string{"part.service"}) {
		t.Errorf("lost: %v", lost)
	}
}
