package users

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/machine"
)

func TestAccountNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"alice": true, "Alice": true, "ADMIN": true, "3com": true, "7zip-user": true, "_x": true, "a.b": true, "svc$": true, "x_1-y": true,
		strings.Repeat("a", 32): true, strings.Repeat("a", 33): false, "": false, "-a": false, "a:b": false, "a b": false, "a/b": false,
		"1000": false, ".": false, "..": false, "ä": false, "a$b": false, "a\n": false, "~a": false, "+a": false,
	} {
		got := featuretest.Reported[usersTest]("x.yaml", "os: {users: [{name: "+strings.ReplaceAll(`"`+name+`"`, "\n", `\n`)+"}]}")
		if strings.Contains(got, "error: ") == want {
			t.Errorf("%q: %s", name, got)
		}
	}
}

// TestAccountsWithoutPrograms makes users and groups where the image has no useradd.
func TestAccountsWithoutPrograms(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Log("homes are given to users only by root")
		return
	}
	m := featuretest.Tree(t, map[string]string{
		"etc/passwd": "root::0:0:root:/root:/bin/sh\nold:x:1005:1005::/home/old:/bin/sh\n", "etc/group": "root:x:0:\nwheel:x:10:root\nold:x:1005:\n",
		"etc/gshadow": "wheel:!::root\n", "etc/skel/.profile": "profile\n", "etc/skel/d/e": "e", "home/x": "",
		"etc/login.defs": "UID_MIN\t1000\n# UID_MAX 5\nUMASK 027\n",
	})
	uid, gid, days := 1501, 4242, 90
	featuretest.MustRun(t, m,
		AddGroup{Group: "operators", GID: &gid}, AddGroup{Group: "Ops.2"}, AddGroup{Group: "wheel"},
		ChangeUser{User: User{Name: "alice", UID: &uid, SecondaryGroups: []AccountName{"wheel", "operators"}, SSHPublicKeys: []SSHKey{edKey}, StartupCommand: "/bin/ash"}, Today: 20000},
		ChangeUser{User: User{Name: "Bob", PrimaryGroup: "operators", PasswordExpiresDays: &days, HomeDirectory: "/srv/bob"}, Today: 20000},
		ChangeUser{User: User{Name: "root", Password: &Password{Type: "plain-text", Value: "secret"}, PrimaryGroup: "wheel"}, Today: 20000, Salt: "abc"},
		ChangeUser{User: User{Name: "old", SecondaryGroups: []AccountName{"wheel"}}},
	)
	for file, want := range map[string]string{
		"/etc/passwd": "root:x:0:10:root:/root:/bin/sh\nold:x:1005:1005::/home/old:/bin/sh\nalice:x:1501:1501::/home/alice:/bin/ash\nBob:x:1502:4242::/srv/bob:/bin/sh\n",
		"/etc/group":  "root:x:0:\nwheel:x:10:root,alice,old\nold:x:1005:\noperators:x:4242:alice\nOps.2:x:4243:\nalice:x:1501:\n",
		// a group's line that gshadow lacks is not needed there
		"/etc/gshadow": "wheel:!::root,alice,old\noperators:!::alice\nOps.2:!::\nalice:!::\n", "/home/alice/.profile": "profile\n", "/srv/bob/d/e": "e",
	} {
		if d := cmp.Diff(want, featuretest.Read(t, m, file)); d != "" {
			t.Errorf("%s: %s", file, d)
		}
	}
	shadow := featuretest.Read(t, m, "/etc/shadow")
	for _, want := range []string{"alice:*:20000:0:99999:7:::\n", "Bob:*:20000:0:90:7:::\n", "root:$6$"} {
		if !strings.Contains(shadow, want) {
			t.Errorf("no %q in shadow:\n%s", want, shadow)
		}
	}
	if fi, err := m.Root.Stat("/etc/shadow"); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("shadow: %v %v", fi, err)
	}
	if fi, err := m.Root.Stat("/home/alice"); err != nil || fi.Mode().Perm() != 0o750 {
		t.Errorf("home: %v %v", fi.Mode(), err)
	}
}

// TestAccountsAreCheckedAgainstTheImage finds every problem of a user at once, each at its place.
func TestAccountsAreCheckedAgainstTheImage(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{
		"etc/passwd": passwd, "etc/group": "root:x:0:\nsudo:x:27:\ndocker:x:999:\n", "etc/shells": "# shells\n/usr/bin/bash\n", "usr/bin/bash": "", "bin/text": "",
		"home/file": "", "srv/data": "",
	})
	featuretest.Executable(t, m, "/usr/bin/bash")
	text := ""
	for _, c := range []struct {
		yaml string
		want []string // path: text (hint)
	}{
		{"{users: [{name: new, secondaryGroups: [sudo], startupCommand: /usr/bin/bash}, {name: other, primaryGroup: new}]}", nil},
		{"{groups: [{name: g}], users: [{name: new, primaryGroup: g, secondaryGroups: [new2]}, {name: new2}]}", []string{"os.users[0].secondaryGroups[0]: the image has no group new2"}},
		{"{users: [{name: new, secondaryGroups: [wheel, dokcer, nix], primaryGroup: new}]}", []string{
			"os.users[0].primaryGroup: the image has no group new (add it to os.groups", `os.users[0].secondaryGroups[0]: the image has no group wheel (did you mean "sudo"`,
			`os.users[0].secondaryGroups[1]: the image has no group dokcer (did you mean "docker"`, "os.users[0].secondaryGroups[2]: the image has no group nix (add it",
		}},
		{"{users: [{name: new, startupCommand: /bin/bash}]}", []string{`os.users[0].startupCommand: the image has no program /bin/bash (did you mean "/usr/bin/bash"`}},
		{"{users: [{name: alice, startupCommand: /bin/text}]}", []string{"os.users[0].startupCommand: /bin/text is no program"}},
		{"{users: [{name: new, startupCommand: /opt/shell}]}", nil},
		{"{users: [{name: new, homeDirectory: /srv/data}]}", []string{"os.users[0].homeDirectory: the home of user new cannot be /srv/data: /srv/data is no folder"}},
		{"{users: [{name: new, homeDirectory: /srv/data/new}]}", []string{"os.users[0].homeDirectory: the home of user new cannot be /srv/data/new: /srv/data is no"}},
		{"{users: [{name: file}]}", []string{"os.users[0].homeDirectory: the home of user file cannot be /home/file"}},
		{"{users: [{name: new, uid: 1000}, {name: new2, uid: 0}]}", []string{"os.users[0].uid: the number 1000 of user new is that of user alice", "os.users[1].uid: the number 0 of user new2 is that of user root"}},
		{"{groups: [{name: g, gid: 27}, {name: sudo, gid: 28}, {name: docker, gid: 999}]}", []string{"os.groups[0].gid: the number 27 of group g is that of group sudo", "os.groups[1].gid: group sudo exists"}},
	} {
		cfg := featuretest.Parse[usersTest](t, "os: "+c.yaml)
		var got []string
		given := &feature.Given{Facts: &machine.Facts{}, Item: featuretest.ItemOf}
		given.Files.Files = []feature.SuppliedFile{{Content: &text, Destination: "/opt/shell"}}
		groups, _ := cfg.OS.Groups.Plan(given)
		users, _ := cfg.OS.Users.Plan(given)
		for _, p := range append(groups, users...).Preflight(context.Background(), m) {
			got = append(got, p.Path+": "+p.Text+" ("+p.Hint+")")
		}
		for i := range max(len(got), len(c.want)) {
			if i >= len(got) || i >= len(c.want) || !strings.HasPrefix(got[i], c.want[i]) {
				t.Errorf("%s:\n got %q\nwant %q", c.yaml, got, c.want)
				break
			}
		}
	}
	empty := featuretest.Tree(t, map[string]string{"etc/x": ""})
	if got := (ChangeUser{User: User{Name: "a"}}).Check(context.Background(), empty); len(got) != 1 || !got[0].Later {
		t.Errorf("an image without users: %v", got)
	}
}
