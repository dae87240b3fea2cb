package step

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/go-crypt/crypt/algorithm/shacrypt"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// User is a user to add, or to change where it exists.
type User struct {
	Name                AccountName   `yaml:"name" required:"true" doc:"Name of the account." example:"alice"`
	UID                 *int          `yaml:"uid" doc:"Its number, 0 to 60000. Default: the next free one. A user that exists must have it already."`
	Password            *Password     `yaml:"password" doc:"How the user logs in with a password. Default: not at all for a new user, unchanged for one that exists."`
	PasswordExpiresDays *int          `yaml:"passwordExpiresDays" doc:"Days after which the password must be changed, -1 (never) to 99999."`
	SSHPublicKeyPaths   []config.Path `yaml:"sshPublicKeyPaths" doc:"Files with public keys that may log in as this user."`
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

// Validate checks the name's form.
func (r *AccountRef) Validate(at *config.At) { (*AccountName)(r).Validate(at) }

// DirRef is the absolute path of a folder in the image; empty for none.
type DirRef string

// Validate checks that the path is absolute and fits /etc/passwd.
func (r *DirRef) Validate(at *config.At) { (*Command)(r).Validate(at) }

// Command is the path of a program in the image.
type Command string

// Validate checks that the text fits /etc/passwd.
func (c *Command) Validate(at *config.At) {
	if !strings.HasPrefix(string(*c), "/") || strings.ContainsAny(string(*c), ":\n") {
		at.Errorf("%q is not an absolute path in the image", string(*c)).Hint("begin it with \"/\" and use no \":\"")
	}
}

// SSHKey is a line of an authorized_keys file.
type SSHKey string

// Validate checks that the key is one line, and no private key.
func (k *SSHKey) Validate(at *config.At) {
	switch s := strings.TrimSpace(string(*k)); {
	case strings.HasPrefix(s, "-----BEGIN"):
		at.Secret(s)
		at.Errorf("this is a private key, which must not be in an image").Hint("write the line of its .pub file")
	case s == "" || strings.Contains(s, "\n"):
		at.Errorf("this is not a public key").Hint("write one key in one line, as in a .pub file")
	}
}

// Validate checks ranges and files.
func (u *User) Validate(at *config.At) {
	checkID(at, "uid", u.UID)
	if d := u.PasswordExpiresDays; d != nil && (*d < -1 || *d > 99999) {
		at.Field("passwordExpiresDays").Errorf("passwordExpiresDays: %d is out of range", *d).Hint("use a number of days from 0 to 99999, or -1 for never")
	}
	for i, p := range u.SSHPublicKeyPaths {
		p.NeedFile(at.Field("sshPublicKeyPaths").Index(i))
	}
}

// PasswordType says what a password's value is.
type PasswordType string

// Values lists the types.
func (PasswordType) Values() []string {
	return []string{"locked", "plain-text", "hashed", "plain-text-file", "hashed-file"}
}

// Password is how a user logs in with a password.
type Password struct {
	Type  PasswordType `yaml:"type" required:"true" doc:"What value is: nothing (locked: no password works), the password itself, its crypt(3) hash, or a file with either."`
	Value string       `yaml:"value" doc:"The password, hash, or path of a file with it."`

	File config.Path `yaml:"-"` // Value, for the types that name a file
}

// Validate checks that there is a value exactly where one is needed.
func (p *Password) Validate(at *config.At) {
	value := at.Field("value")
	if !strings.HasSuffix(string(p.Type), "-file") {
		value.Secret(p.Value)
	}
	switch {
	case p.Type == "locked" && p.Value != "":
		value.Errorf("a locked password has no value").Hint("remove value, or use another type")
	case p.Type != "locked" && p.Value == "":
		value.Errorf("the password has no value").Hint("add \"value:\"")
	case strings.HasSuffix(string(p.Type), "-file"):
		p.File.UnmarshalScalar(p.Value, value)
		p.File.NeedFile(value)
	case p.Type == "plain-text" && strings.ContainsAny(p.Value, "\n\x00"):
		value.Errorf("a password holds no line break and no null byte")
	case p.Type == "hashed" && strings.ContainsAny(p.Value, ":\n"):
		value.Errorf("a hash holds no \":\" and no line break")
	}
}

func planUsers(c *Config, in Inputs) (p plan.Plan) {
	for _, u := range c.OS.Users {
		p = append(p, ChangeUser{User: u, Today: int(in.Now.Unix() / 86400), Salt: in.Seed.Text("salt/"+string(u.Name), shacrypt.SaltLengthMax, shacrypt.SaltCharSet)})
	}
	return p
}

// ChangeUser adds a user or changes the one that exists.
type ChangeUser struct {
	User  User
	Today int    // days since 1970, for shadow(5)
	Salt  string // of the password's hash, where we make it
}

// Name identifies the step.
func (ChangeUser) Name() string { return "users.change" }

func (s ChangeUser) String() string {
	what := []string{"add or change user " + string(s.User.Name)}
	if n := len(s.User.SSHPublicKeys) + len(s.User.SSHPublicKeyPaths); n > 0 {
		what = append(what, fmt.Sprintf("%d ssh keys", n))
	}
	if s.User.Password != nil {
		what = append(what, "password "+string(s.User.Password.Type))
	}
	return strings.Join(what, ", ")
}

// Check finds what cannot be changed of a user that exists.
func (s ChangeUser) Check(_ context.Context, m *machine.Machine) (problems []plan.Problem) {
	a, ok := lookupUser(m.Root, string(s.User.Name))
	if !ok {
		return nil
	}
	if s.User.UID != nil && *s.User.UID != a.uid && !s.User.LenientUID {
		problems = append(problems, plan.Problem{Text: fmt.Sprintf("user %s exists in the image with number %d, the config asks for %d", s.User.Name, a.uid, *s.User.UID), Hint: "remove uid, or use the image's number"})
	}
	if h := string(s.User.HomeDirectory); h != "" && path.Clean(h) != path.Clean(a.home) {
		problems = append(problems, plan.Problem{Text: fmt.Sprintf("user %s exists in the image with home %s, the config asks for %s", s.User.Name, a.home, h), Hint: "remove homeDirectory"})
	}
	return problems
}

// Run does the user's changes with the image's own tools where they know more than one file, and by
// editing a line where not.
func (s ChangeUser) Run(ctx context.Context, m *machine.Machine) error {
	_, existed := lookupUser(m.Root, string(s.User.Name))
	if !existed {
		if err := m.Run(ctx, hostcmd.New("useradd", s.newArgs(m)...)); err != nil {
			return err
		}
	}
	for _, f := range []func() error{
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

func (s ChangeUser) newArgs(m *machine.Machine) []string {
	args := []string{"-m"}
	if s.User.UID != nil {
		args = append(args, "-u", strconv.Itoa(*s.User.UID))
	}
	if s.User.HomeDirectory != "" {
		args = append(args, "-d", string(s.User.HomeDirectory))
	}
	group := string(s.User.PrimaryGroup)
	if _, taken := groupID(m.Root, string(s.User.Name)); taken && group == "" {
		group = string(s.User.Name) // useradd refuses to make a group that exists
	}
	if group != "" {
		args = append(args, "-g", group)
	}
	return append(args, string(s.User.Name))
}

func (s ChangeUser) groups(ctx context.Context, m *machine.Machine, existed bool) error {
	var args []string
	if existed && s.User.PrimaryGroup != "" {
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

func (s ChangeUser) shell(m *machine.Machine) error {
	if s.User.StartupCommand == "" {
		return nil
	}
	return setField(m.Root, "/etc/passwd", string(s.User.Name), 6, string(s.User.StartupCommand))
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
		text, err := p.text()
		if err != nil {
			return err
		}
		if hash = text; strings.HasPrefix(string(p.Type), "plain-text") {
			if hash, err = hashPassword(text, s.Salt); err != nil {
				return err
			}
		}
	}
	name := string(s.User.Name)
	if err := setField(m.Root, "/etc/shadow", name, shadowHash, hash); err != nil {
		return err
	}
	return setField(m.Root, "/etc/shadow", name, shadowLastChange, strconv.Itoa(s.Today))
}

// text is the password or hash itself; the line break at the end of a file is not part of it.
func (p *Password) text() (string, error) {
	if p.File.Resolved == "" {
		return p.Value, nil
	}
	data, err := hostfs.ReadFile(p.File.Resolved)
	return strings.TrimRight(string(data), "\r\n"), err
}

// hashPassword makes a sha512-crypt hash with the rounds crypt(3) defaults to.
func hashPassword(text, salt string) (string, error) {
	h, err := shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithIterations(5000))
	if err != nil {
		return "", err
	}
	digest, err := h.HashWithSalt(text, []byte(salt))
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return digest.Encode(), nil
}

// expiry sets the maximum age of the password; -1 clears all aging.
func (s ChangeUser) expiry(m *machine.Machine) error {
	if s.User.PasswordExpiresDays == nil {
		return nil
	}
	name, days := string(s.User.Name), *s.User.PasswordExpiresDays
	values := map[int]string{shadowMaxAge: strconv.Itoa(days)}
	if days < 0 {
		values = map[int]string{shadowMaxAge: "", shadowWarn: "", shadowInactive: "", shadowExpire: ""}
	}
	if f := record(m.Root, "/etc/shadow", name); len(f) > shadowLastChange && f[shadowLastChange] == "" {
		values[shadowLastChange] = strconv.Itoa(s.Today)
	}
	for field, v := range values {
		if err := setField(m.Root, "/etc/shadow", name, field, v); err != nil {
			return err
		}
	}
	return nil
}

// keys adds public keys to the user's authorized_keys.
func (s ChangeUser) keys(m *machine.Machine) error {
	var lines []string
	for _, k := range s.User.SSHPublicKeys {
		lines = append(lines, strings.TrimSpace(string(k)))
	}
	for _, p := range s.User.SSHPublicKeyPaths {
		data, err := hostfs.ReadFile(p.Resolved)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line != "" && !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) == 0 {
		return nil
	}
	a, ok := lookupUser(m.Root, string(s.User.Name))
	if !ok || !strings.HasPrefix(a.home, "/") {
		return fmt.Errorf("the image's /etc/passwd gives no home folder to put ssh keys into")
	}
	dir := path.Join(a.home, ".ssh")
	file := dir + "/authorized_keys"
	if err := m.Root.MkdirAll(a.home, 0o755); err != nil {
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
		if err := m.Root.Chown(name, a.uid, a.gid); err != nil {
			return err
		}
	}
	return nil
}
