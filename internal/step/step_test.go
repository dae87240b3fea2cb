package step

import (
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/distro"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/seed"
)

// tree makes a machine over a folder with these files.
func tree(t *testing.T, files map[string]string) *machine.Machine {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := rootfs.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &machine.Machine{Root: root, Facts: &machine.Facts{}, Log: slog.Default()}
}

func read(t *testing.T, m *machine.Machine, name string) string {
	t.Helper()
	data, err := m.Root.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func mustRun(t *testing.T, m *machine.Machine, steps ...plan.Step) {
	t.Helper()
	for _, s := range steps {
		if err := s.Run(context.Background(), m); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestModules(t *testing.T) {
	t.Parallel()
	m := tree(t, map[string]string{
		"etc/modules-load.d/modules-load.conf": "ab\nb\n",
		"etc/modprobe.d/modules-disabled.conf": "blacklist a\nblacklist abc\n",
		"etc/modprobe.d/module-options.conf":   "options a flag x=1 y=2\noptions ab z=3\n",
	})
	mustRun(t, m, SetModule{Module: "a", LoadMode: "always", Options: map[string]string{"x": "9"}}, SetModule{Module: "b", LoadMode: "disable"}, SetModule{Module: "c", LoadMode: "inherit"}, SetModule{Module: "abc", LoadMode: "auto"})
	for name, want := range map[string]string{
		loadFile: "ab\na\n", disableFile: "blacklist b\n", optionsFile: "options ab z=3\noptions a flag x=9 y=2\n",
	} {
		if got := read(t, m, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if p := (SetModule{Module: "b", LoadMode: "inherit", Options: map[string]string{"x": "1"}}).Check(context.Background(), m); len(p) != 2 { // and no modprobe
		t.Errorf("options for a disabled module: %v", p)
	}
}

const passwd = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nalicex:x:1001:1001::/home/x:/bin/sh\n"

func TestUserThatExists(t *testing.T) {
	t.Parallel()
	m := tree(t, map[string]string{
		"etc/passwd": passwd, "etc/group": "alice:x:1000:\n", "home/alice/.ssh/authorized_keys": "old key",
		"etc/shadow": "root:!:1:0:99999:7:::\nalice:!::0:99999:7:30:400:\nalicex:!:1::::::\n",
	})
	days := 90
	user := User{
		Name: "alice", Password: &Password{Type: "plain-text", Value: "pässword"}, PasswordExpiresDays: &days,
		SSHPublicKeys: []SSHKey{"new key", "old key"}, StartupCommand: "/bin/bash",
	}
	step := ChangeUser{User: user, Today: 20000, Salt: "abc"}
	if os.Getuid() != 0 {
		t.Log("keys are given to the user only by root")
		user.SSHPublicKeys = nil
	}
	mustRun(t, m, ChangeUser{User: user, Today: 20000, Salt: "abc"})
	if got, want := read(t, m, "/etc/passwd"), strings.Replace(passwd, "/home/alice:/bin/sh", "/home/alice:/bin/bash", 1); got != want {
		t.Error(cmp.Diff(want, got))
	}
	f := record(m.Root, "/etc/shadow", "alice")
	digest, err := shacrypt.Decode(f[shadowHash])
	if err != nil || !digest.Match("pässword") || digest.Match("password") || !strings.HasPrefix(f[shadowHash], "$6$") || !strings.Contains(f[shadowHash], "$abc$") {
		t.Errorf("the hash %q does not fit the password: %v", f[shadowHash], err)
	}
	if f[shadowLastChange] != "20000" || f[shadowMaxAge] != "90" || f[shadowExpire] != "400" {
		t.Errorf("aging: %q", f)
	}
	if strings.Contains(step.String(), "pässword") || strings.Contains(step.String(), "new key") {
		t.Errorf("the description shows secrets: %s", step)
	}
	never := -1
	mustRun(t, m, ChangeUser{User: User{Name: "alice", PasswordExpiresDays: &never, Password: &Password{Type: "locked"}}, Today: 20001})
	if f := record(m.Root, "/etc/shadow", "alice"); f[shadowHash] != "*" || f[shadowMaxAge] != "" || f[shadowExpire] != "" {
		t.Errorf("never expiring and locked: %q", f)
	}
	if got := record(m.Root, "/etc/shadow", "alicex"); got[shadowHash] != "!" {
		t.Errorf("a user of a similar name was changed: %q", got)
	}
}

func TestUserChecks(t *testing.T) {
	t.Parallel()
	m := tree(t, map[string]string{"etc/passwd": passwd, "etc/group": "g:x:5:\n"})
	same, other := 1000, 7
	for name, c := range map[string]struct {
		step plan.Checker
		want int
	}{
		"the same number":  {ChangeUser{User: User{Name: "alice", UID: &same, HomeDirectory: "/home/alice/"}}, 0},
		"two differences":  {ChangeUser{User: User{Name: "alice", UID: &other, HomeDirectory: "/x"}}, 2},
		"lenient, as 2023": {ChangeUser{User: User{Name: "alice", UID: &other, LenientUID: true}}, 0},
		"a new user":       {ChangeUser{User: User{Name: "bob", UID: &other}}, 0},
		"group differs":    {AddGroup{Group: "g", GID: &other}, 1},
		"group is new":     {AddGroup{Group: "h", GID: &other}, 0},
	} {
		if got := c.step.Check(context.Background(), m); len(got) != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestFilesAndFolders(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	for name, mode := range map[string]fs.FileMode{"run.sh": 0o750, "d/inner": 0o600} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(src, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, name), []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("inner", filepath.Join(src, "d/link")); err != nil {
		t.Fatal(err)
	}
	m := tree(t, map[string]string{"etc/old": "old"})
	text, mode := "", fs.FileMode(0o600)
	mustRun(t, m, WriteFile{Source: src + "/run.sh", Destination: "/opt/new/run.sh"}, WriteFile{Content: &text, Destination: "/etc/empty"},
		WriteFile{Content: &text, Destination: "/etc/old", Mode: &mode}, CopyDir{Source: src + "/d", Destination: "/srv/d", NewDirs: 0o711, Files: 0o644})
	for name, want := range map[string]string{
		"/opt/new/run.sh": "-rwxr-x---", "/etc/empty": "-rw-r--r--", "/etc/old": "-rw-------", "/srv/d": "drwx--x--x", "/srv/d/inner": "-rw-r--r--", "/srv/d/link": "-rw-r--r--",
	} {
		fi, err := m.Root.Lstat(name)
		if err != nil || fi.Mode().String() != want {
			t.Errorf("%s: %v %v, want %s", name, fi.Mode(), err, want)
		}
	}
	if got := read(t, m, "/srv/d/link"); got != "d/inner" {
		t.Errorf("a link to a file was not followed: %q", got)
	}
	if err := os.Symlink("d", filepath.Join(src, "folder")); err != nil {
		t.Fatal(err)
	}
	err := CopyDir{Source: src, Destination: "/x", NewDirs: 0o755, Files: 0o644}.Run(context.Background(), m)
	if err == nil || !strings.Contains(err.Error(), "link to a folder") {
		t.Errorf("a link to a folder: %v", err)
	}
}

// secrets are texts that no description, plan or history may hold.
var secrets = []string{"hunter2", "ssh-ed25519", "environment-value", "echo inline", "file text"}

const secretConfig = `
os:
  hostname: h
  groups: [{name: g, gid: 5}]
  users:
  - {name: a, password: {type: plain-text, value: hunter2}, sshPublicKeys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINXb2gGbwouVzQ/yX+3B4vqdMYk0s+1p17sf9w1JDt8w], secondaryGroups: [g]}
  additionalFiles: [{content: file text, destination: /f}]
  services: {enable: [s]}
  modules: [{name: m, loadMode: always, options: {o: v}}]
  kernelCommandLine: {extraCommandLine: [quiet]}
  packages: {install: [p]}
scripts:
  postCustomization: [{content: echo inline, environmentVariables: {K: environment-value}}]
  finalizeCustomization: [{content: echo inline, name: last}]
`

func parse(t *testing.T, text string) *Config {
	t.Helper()
	doc, report := config.Parse(t.TempDir()+"/c.yaml", []byte(text))
	c := Decode(doc, config.Options{})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}

var debianFacts = &machine.Facts{
	Distro: &distro.Distro{Name: "Debian"}, PackageManager: "apt", Boot: boot.Scheme{Kind: boot.Mkconfig, Config: "/boot/grub/grub.cfg"},
}

func TestPlanOrderAndSecrets(t *testing.T) {
	t.Parallel()
	c := parse(t, secretConfig)
	p, problems := Plan(c, debianFacts, Inputs{ToolVersion: "1", Now: time.Unix(0, 0), UUID: "u"})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var names []string
	for _, s := range p {
		names = append(names, s.Name())
	}
	want := strings.Fields("dns.override packages check.needs hostname groups.add users.change files.write services modules record.release record.history kernel-arguments dns.refresh scripts.postCustomization dns.restore scripts.finalizeCustomization check.kernel check.space")
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	m := tree(t, map[string]string{"usr/x": ""})
	history := WriteHistory{Describe: func() (map[string]any, error) { return DescribeConfig(c) }, Version: "1", Time: time.Unix(0, 0), UUID: "u"}
	mustRun(t, m, history, history)
	for _, s := range secrets {
		if strings.Contains(string(text), s) {
			t.Errorf("the plan shows %q", s)
		}
		if strings.Contains(read(t, m, historyFile), s) {
			t.Errorf("the history holds %q", s)
		}
	}
	var entries []historyEntry
	if err := json.Unmarshal([]byte(read(t, m, historyFile)), &entries); err != nil || len(entries) != 2 || entries[0].ImageUUID != "u" {
		t.Errorf("%d entries: %v", len(entries), err)
	}
}

func TestPackagesAndSourcesFitTheImage(t *testing.T) {
	t.Parallel()
	rpm, deb := []pkgmgr.Source{{Path: "/r"}}, []pkgmgr.Source{{Path: "/d"}}
	for _, c := range []struct {
		manager, config string
		in              Inputs
		want            string // of the only problem
	}{
		{"tdnf", "install: [jq]", Inputs{RPMSources: rpm}, ""},
		{"apt", "install: [jq]", Inputs{DebSources: deb, NoBaseRepos: true}, ""},
		{"apt", "debconfSelections: [a b string c]", Inputs{}, ""},
		{"tdnf", "debconfSelections: [a b string c]", Inputs{}, "debconfSelections are for images with apt; this one has tdnf"},
		{"dnf", "remove: [jq]", Inputs{DebSources: deb}, "--deb-source is of no use for an image with dnf"},
		{"apt", "{}", Inputs{RPMSources: rpm}, "--rpm-source is of no use for an image with apt"},
		{"tdnf", "install: [jq]", Inputs{NoBaseRepos: true}, "there is no source of packages"},
		{"", "remove: [jq]", Inputs{}, "the image has no package manager"},
		{"", "{}", Inputs{RPMSources: rpm}, ""},
	} {
		facts := &machine.Facts{PackageManager: c.manager}
		c.in.Seed = seed.New("x")
		cfg := parse(t, "os:\n  packages:\n    "+c.config+"\n")
		g, packages := cfg.given(facts, c.in), cfg.OS.Packages
		p, _ := packages.Plan(g)
		_, problems := packages.planSources(g)
		switch {
		case c.want == "" && (len(problems) > 0 || len(p) == 0 && c.config != "{}"):
			t.Errorf("%+v: %v, %d steps", c, problems, len(p))
		case c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Text, c.want)):
			t.Errorf("%+v: %v", c, problems)
		}
	}
}

func TestPlanProblemsAllAtOnce(t *testing.T) {
	t.Parallel()
	facts := &machine.Facts{Distro: &distro.Distro{Name: "X"}, Boot: boot.Scheme{Kind: boot.UKI}}
	_, problems := Plan(parse(t, secretConfig), facts, Inputs{})
	var text []string
	for _, p := range problems {
		text = append(text, p.Text)
	}
	slices.Sort(text)
	all := strings.Join(text, "\n")
	for _, want := range []string{"no package manager", "unified kernel images"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
}

func TestReleaseFile(t *testing.T) {
	t.Parallel()
	m := tree(t, map[string]string{"etc/x": ""})
	c := &Config{Lowered: true}
	p, _ := c.OS.ImageHistory.Plan(c.given(&machine.Facts{}, Inputs{ToolVersion: "1.2", Now: time.Unix(86400, 0), UUID: "abc"}))
	mustRun(t, m, p[:2]...)
	if got, want := read(t, m, releaseFile), "TOOL_VERSION=\"1.2\"\nBUILD_DATE=\"1970-01-02T00:00:00Z\"\nIMAGE_UUID=\"abc\"\n\n"; got != want {
		t.Error(cmp.Diff(want, got))
	}
	if got, want := read(t, m, releaseFile2023), "TOOL_VERSION=\"1.2\"\nBUILD_DATE=\"1970-01-02T00:00:00Z\"\n\n"; got != want {
		t.Error(cmp.Diff(want, got))
	}
}

func TestCheckKernel(t *testing.T) {
	t.Parallel()
	with := tree(t, map[string]string{"lib/modules/6.1/modules.dep": ""})
	mustRun(t, with, CheckKernel{})
	without := tree(t, map[string]string{"etc/x": ""})
	if err := (CheckKernel{}).Run(context.Background(), without); err == nil {
		t.Error("an image without a kernel passes")
	}
}
