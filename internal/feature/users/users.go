// Package users is who the system knows, and what they may do: users and groups with passwords and keys, sudo, and who may
// log in over SSH.
package users

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm/shacrypt"

	"imagecustomizer/internal/accounts"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// User is a user to add, or to change where it exists.
type User struct {
	Name                AccountName   `yaml:"name" required:"true" doc:"Name of the account." example:"alice"`
	UID                 *int          `yaml:"uid" min:"0" max:"60000" doc:"Its number, 0 to 60000. Default: the next free one. A user that exists must have it already."`
	Password            *Password     `yaml:"password" doc:"How the user logs in with a password. Default: not at all for a new user, unchanged for one that exists."`
	PasswordExpiresDays *int          `yaml:"passwordExpiresDays" min:"-1" max:"99999" doc:"Days after which the password must be changed, -1 (never) to 99999."`
	SSHPublicKeyPaths   []KeyFile     `yaml:"sshPublicKeyPaths" doc:"Files with public keys that may log in as this user."`
	SSHPublicKeys       []SSHKey      `yaml:"sshPublicKeys" doc:"Public keys that may log in as this user."`
	PrimaryGroup        AccountRef    `yaml:"primaryGroup" doc:"The user's first group. Default: a group of its own name, as the image's useradd does."`
	SecondaryGroups     []AccountName `yaml:"secondaryGroups" doc:"Further groups; those the user is in already stay."`
	StartupCommand      Command       `yaml:"startupCommand" doc:"Program that runs at login, usually a shell." example:"/bin/bash"`
	HomeDirectory       DirRef        `yaml:"homeDirectory" doc:"Home folder. A user that exists must have it already."`

	// LenientUID has a number that differs from that of a user that exists ignored, as in 2023.
	LenientUID bool `yaml:"-"`
}

// AccountRef is the name of a group; empty for none.
type AccountRef string

// Describe tells how the name is written.
func (AccountRef) Describe() config.Form { return AccountName("").Describe() }

// Validate checks the name's form.
func (r *AccountRef) Validate(at *config.At) { (*AccountName)(r).Validate(at) }

// DirRef is the absolute path of a folder in the image; empty for none.
type DirRef string

// Describe tells how the path is written.
func (DirRef) Describe() config.Form { return Command("").Describe() }

// Validate checks that the path is absolute and fits /etc/passwd.
func (r *DirRef) Validate(at *config.At) { (*Command)(r).Validate(at) }

// Command is the path of a program in the image.
type Command string

// Describe tells how the path is written.
func (Command) Describe() config.Form { return config.Form{Kind: "path", Pattern: `^/[^:\n]*$`} }

// Validate checks that the text fits /etc/passwd.
func (c *Command) Validate(at *config.At) {
	if !c.Describe().Fits(string(*c)) {
		at.Errorf("%q is not an absolute path in the image", string(*c)).Hint("begin it with \"/\" and use no \":\"")
	}
}

// Users are those to add or change.
type Users []User

// Used tells whether there are some.
func (l Users) Used() bool { return len(l) > 0 }

// Touches is the file that lists them, and where their keys lie.
func (l Users) Touches() []feature.Touch {
	list := []feature.Touch{{Path: accounts.PasswdFile}}
	for i, u := range l {
		if home := cmp.Or(string(u.HomeDirectory), "/home/"+string(u.Name)); u.KeyCount() > 0 {
			list = append(list, feature.Touch{
				Path: home, At: fmt.Sprintf("[%d]", i), What: "the keys of " + string(u.Name), Instead: "give the user a homeDirectory on the image's own disk",
			})
		}
	}
	return list
}

// Plan changes one after the other.
func (l Users) Plan(g *feature.Given) (p plan.Plan, _ []plan.Problem) {
	for i, u := range l {
		if u.PrimaryGroup == "" {
			g.Groups = append(g.Groups, string(u.Name))
		}
		p = append(p, ChangeUser{
			User: u, Today: int(g.Now.Unix() / 86400), Salt: g.Seed.Text("salt/"+string(u.Name), shacrypt.SaltLengthMax, shacrypt.SaltCharSet),
			Path: g.Item("os.users", i), Groups: slices.Clone(g.Groups), Files: g.Files,
		})
	}
	return p, nil
}

// Record leaves passwords and keys out.
func (l Users) Record() (any, error) {
	return feature.RecordEach(l, func(u User) (map[string]any, error) {
		d := map[string]any{"name": u.Name}
		if u.UID != nil {
			d["uid"] = *u.UID
		}
		if u.Password != nil {
			d["password"] = map[string]any{"type": u.Password.Type}
		}
		if n := u.KeyCount(); n > 0 {
			d["sshPublicKeys"] = slices.Repeat([]string{"[redacted]"}, n)
		}
		if u.PrimaryGroup != "" {
			d["primaryGroup"] = u.PrimaryGroup
		}
		if len(u.SecondaryGroups) > 0 {
			d["secondaryGroups"] = u.SecondaryGroups
		}
		return d, nil
	})
}

func (u User) KeyCount() int { return len(u.SSHPublicKeys) + len(u.SSHPublicKeyPaths) }

// ChangeUser adds a user or changes the one that exists.
type ChangeUser struct {
	User   User
	Today  int              // days since 1970, for shadow(5)
	Salt   string           // of the password's hash, where we make it
	Path   string           // in the config
	Groups []string         // that the config has made by then
	Files  feature.Supplied // among which may be shells
}

// Name identifies the step.
func (ChangeUser) Name() string { return "users.change" }

func (s ChangeUser) String() string {
	what := []string{"add or change user " + string(s.User.Name)}
	if n := s.User.KeyCount(); n > 0 {
		what = append(what, fmt.Sprintf("%d ssh keys", n))
	}
	if s.User.Password != nil {
		what = append(what, "password "+string(s.User.Password.Type))
	}
	return strings.Join(what, ", ")
}

// Run does the user's changes with the image's own tools where they know more than one file, and by
// editing a line where not.
func (s ChangeUser) Run(ctx context.Context, m *machine.Machine) error {
	_, existed := accounts.Lookup(m.Root, string(s.User.Name))
	for _, f := range []func() error{
		func() error { return s.add(ctx, m, existed) },
		func() error { return s.groups(ctx, m, existed) },
		func() error { return s.shell(m) },
		func() error { return s.password(m, existed) },
		func() error { return s.expiry(m) },
		func() error { return s.keys(m) },
	} {
		if err := f(); err != nil {
			return fmt.Errorf("user %s: %w", s.User.Name, err)
		}
	}
	return nil
}

func (s ChangeUser) add(ctx context.Context, m *machine.Machine, existed bool) error {
	name := string(s.User.Name)
	if existed {
		return nil
	}
	args := s.newArgs(m)
	if !accounts.PlainName.MatchString(name) {
		args = append([]string{"--badname"}, args...)
	}
	if !accounts.HasTools(m) || args[0] == "--badname" && !knowsBadName(m) {
		return s.addLines(m)
	}
	return m.Run(ctx, hostcmd.New("useradd", args...))
}

// knowsBadName tells whether the image's useradd can be told to take a name that it would refuse.
func knowsBadName(m *machine.Machine) bool {
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if program, err := m.Root.ReadFile(dir + "/useradd"); err == nil {
			return bytes.Contains(program, []byte("badname"))
		}
	}
	return false
}

func (s ChangeUser) newArgs(m *machine.Machine) []string {
	args := []string{"-m"}
	if s.User.UID != nil {
		args = append(args, "-u", strconv.Itoa(*s.User.UID))
	}
	if s.User.HomeDirectory != "" {
		args = append(args, "-d", string(s.User.HomeDirectory))
	}
	group := string(s.User.PrimaryGroup)
	if _, taken := accounts.GroupID(m.Root, string(s.User.Name)); taken && group == "" {
		group = string(s.User.Name) // useradd refuses to make a group that exists
	}
	if group != "" {
		args = append(args, "-g", group)
	}
	return append(args, string(s.User.Name))
}

// addLines adds the user as useradd does, by editing.
func (s ChangeUser) addLines(m *machine.Machine) error {
	name, defaults := string(s.User.Name), accounts.UserDefaults(m.Root)
	gid, err := s.ownGroup(m)
	if err != nil {
		return err
	}
	var uid int
	if s.User.UID != nil {
		uid = *s.User.UID
	} else if uid, err = accounts.NextID(m.Root, accounts.PasswdFile, "UID"); err != nil {
		return err
	}
	home := cmp.Or(string(s.User.HomeDirectory), path.Join(cmp.Or(defaults["HOME"], "/home"), name))
	line := fmt.Sprintf("%s:x:%d:%d::%s:%s", name, uid, gid, home, cmp.Or(defaults["SHELL"], "/bin/sh"))
	if err := m.Root.AppendLines(accounts.PasswdFile, 0o644, line); err != nil {
		return err
	}
	if m.Root.Exists(home) {
		return nil
	}
	if err := m.Root.MkdirAll(path.Dir(home), 0o755); err != nil {
		return err
	}
	mode := accounts.LoginDefs(m.Root, "HOME_MODE", 0o777&^accounts.LoginDefs(m.Root, "UMASK", 0o022))
	if err := m.Root.MkdirAll(home, fs.FileMode(mode).Perm()); err != nil {
		return err
	}
	if err := m.Root.Chown(home, uid, gid); err != nil {
		return err
	}
	return accounts.CopySkel(m.Root, cmp.Or(defaults["SKEL"], "/etc/skel"), home, uid, gid)
}

// ownGroup is the number of a new user's first group, which is made where it is one of the user's own name.
func (s ChangeUser) ownGroup(m *machine.Machine) (int, error) {
	group := cmp.Or(string(s.User.PrimaryGroup), string(s.User.Name))
	if gid, ok := accounts.GroupID(m.Root, group); ok {
		return gid, nil
	}
	if s.User.PrimaryGroup != "" {
		return 0, fmt.Errorf("the image has no group %s", group)
	}
	gid := s.User.UID // the same number where it is free
	if gid != nil && accounts.OwnerOf(m.Root, accounts.GroupFile, *gid) != "" {
		gid = nil
	}
	return accounts.AddGroup(m.Root, group, gid)
}

func (s ChangeUser) groups(ctx context.Context, m *machine.Machine, existed bool) error {
	primary := existed && s.User.PrimaryGroup != ""
	if !accounts.HasTools(m) {
		return s.editGroups(m, primary)
	}
	var args []string
	if primary {
		args = append(args, "-g", string(s.User.PrimaryGroup))
	}
	if len(s.User.SecondaryGroups) > 0 {
		names := make([]string, len(s.User.SecondaryGroups))
		for i, g := range s.User.SecondaryGroups {
			names[i] = string(g)
		}
		args = append(args, "-a", "-G", strings.Join(names, ","))
	}
	if len(args) == 0 {
		return nil
	}
	return m.Run(ctx, hostcmd.New("usermod", append(args, string(s.User.Name))...))
}

// editGroups does what usermod does.
func (s ChangeUser) editGroups(m *machine.Machine, primary bool) error {
	for _, g := range s.User.SecondaryGroups {
		if _, ok := accounts.GroupID(m.Root, string(g)); !ok {
			return fmt.Errorf("the image has no group %s", g)
		}
		if err := accounts.AddMember(m.Root, string(g), string(s.User.Name)); err != nil {
			return err
		}
	}
	if !primary {
		return nil
	}
	gid, ok := accounts.GroupID(m.Root, string(s.User.PrimaryGroup))
	if !ok {
		return fmt.Errorf("the image has no group %s", s.User.PrimaryGroup)
	}
	return accounts.SetField(m.Root, accounts.PasswdFile, string(s.User.Name), 3, strconv.Itoa(gid))
}

func (s ChangeUser) shell(m *machine.Machine) error {
	if s.User.StartupCommand == "" {
		return nil
	}
	return accounts.SetField(m.Root, accounts.PasswdFile, string(s.User.Name), 6, string(s.User.StartupCommand))
}

// Fields of shadow(5).
const (
	shadowHash       = 1
	shadowLastChange = 2
	shadowMaxAge     = 4
	shadowWarn       = 5
	shadowInactive   = 6
	shadowExpire     = 7
)

// password writes the hash into /etc/shadow: no password is ever an argument of a program. A locked
// or empty one becomes "*", which refuses passwords but, unlike "!", lets ssh keys in.
func (s ChangeUser) password(m *machine.Machine, existed bool) error {
	p := s.User.Password
	if p == nil && existed {
		return nil
	}
	hash := "*"
	if p != nil && p.Type != "locked" {
		if hash = p.text(); strings.HasPrefix(string(p.Type), "plain-text") {
			var err error
			if hash, err = hashPassword(hash, s.Salt); err != nil {
				return err
			}
		}
	}
	name := string(s.User.Name)
	if err := s.needShadow(m); err != nil {
		return err
	}
	if err := accounts.SetField(m.Root, accounts.ShadowFile, name, shadowHash, hash); err != nil {
		return err
	}
	return accounts.SetField(m.Root, accounts.ShadowFile, name, shadowLastChange, strconv.Itoa(s.Today))
}

// needShadow makes sure that /etc/shadow has a line for the user, and that /etc/passwd points there.
func (s ChangeUser) needShadow(m *machine.Machine) error {
	name := string(s.User.Name)
	if accounts.Entry(m.Root, accounts.ShadowFile, name) == nil {
		if err := m.Root.AppendLines(accounts.ShadowFile, 0o600, fmt.Sprintf("%s:!:%d:0:99999:7:::", name, s.Today)); err != nil {
			return err
		}
	}
	return accounts.SetField(m.Root, accounts.PasswdFile, name, 1, "x")
}

// expiry sets the maximum age of the password; -1 clears all aging.
func (s ChangeUser) expiry(m *machine.Machine) error {
	if s.User.PasswordExpiresDays == nil {
		return nil
	}
	if err := s.needShadow(m); err != nil {
		return err
	}
	name, days := string(s.User.Name), *s.User.PasswordExpiresDays
	values := map[int]string{shadowMaxAge: strconv.Itoa(days)}
	if days < 0 {
		values = map[int]string{shadowMaxAge: "", shadowWarn: "", shadowInactive: "", shadowExpire: ""}
	}
	if f := accounts.Entry(m.Root, accounts.ShadowFile, name); len(f) > shadowLastChange && f[shadowLastChange] == "" {
		values[shadowLastChange] = strconv.Itoa(s.Today)
	}
	for field, v := range values {
		if err := accounts.SetField(m.Root, accounts.ShadowFile, name, field, v); err != nil {
			return err
		}
	}
	return nil
}

// keys adds public keys to the user's authorized_keys.
func (s ChangeUser) keys(m *machine.Machine) error {
	lines := s.User.authorized()
	if len(lines) == 0 {
		return nil
	}
	a, ok := accounts.Lookup(m.Root, string(s.User.Name))
	if !ok || !strings.HasPrefix(a.Home, "/") {
		return fmt.Errorf("the image's /etc/passwd gives no home folder to put ssh keys into")
	}
	dir := path.Join(a.Home, ".ssh")
	file := dir + "/authorized_keys"
	if err := m.Root.MkdirAll(a.Home, 0o755); err != nil {
		return err
	}
	if err := m.Root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := m.Root.AppendLines(file, 0o600, lines...); err != nil {
		return err
	}
	for name, mode := range map[string]fs.FileMode{dir: 0o700, file: 0o600} {
		if err := m.Root.Chmod(name, mode); err != nil {
			return err
		}
		if err := m.Root.Chown(name, a.UID, a.GID); err != nil {
			return err
		}
	}
	return nil
}

// authorized lists the lines that go into authorized_keys.
func (u User) authorized() (lines []string) {
	keys := slices.Clone(u.SSHPublicKeys)
	for _, f := range u.SSHPublicKeyPaths {
		keys = append(keys, f.Keys...)
	}
	for _, k := range keys {
		lines = append(lines, strings.TrimSpace(string(k)))
	}
	return lines
}
