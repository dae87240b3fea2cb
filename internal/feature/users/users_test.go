package users

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"github.com/google/go-cmp/cmp"

	"imagecustomizer/internal/accounts"
	"imagecustomizer/internal/feature/featuretest"
	"imagecustomizer/internal/plan"
)

func TestUserThatExists(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{
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
	featuretest.MustRun(t, m, ChangeUser{User: user, Today: 20000, Salt: "abc"})
	if got, want := featuretest.Read(t, m, "/etc/passwd"), strings.Replace(passwd, "/home/alice:/bin/sh", "/home/alice:/bin/bash", 1); got != want {
		t.Error(cmp.Diff(want, got))
	}
	f := accounts.Entry(m.Root, "/etc/shadow", "alice")
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
	featuretest.MustRun(t, m, ChangeUser{User: User{Name: "alice", PasswordExpiresDays: &never, Password: &Password{Type: "locked"}}, Today: 20001})
	if f := accounts.Entry(m.Root, "/etc/shadow", "alice"); f[shadowHash] != "*" || f[shadowMaxAge] != "" || f[shadowExpire] != "" {
		t.Errorf("never expiring and locked: %q", f)
	}
	if got := accounts.Entry(m.Root, "/etc/shadow", "alicex"); got[shadowHash] != "!" {
		t.Errorf("a user of a similar name was changed: %q", got)
	}
}

func TestUserChecks(t *testing.T) {
	t.Parallel()
	m := featuretest.Tree(t, map[string]string{"etc/passwd": passwd, "etc/group": "g:x:5:\n"})
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

const passwd = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nalicex:x:1001:1001::/home/x:/bin/sh\n"
