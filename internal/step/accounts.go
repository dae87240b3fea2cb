package step

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
)

// Group is a group that must exist.
type Group struct {
	Name AccountName `yaml:"name" required:"true" doc:"Name of the group." example:"operators"`
	GID  *int        `yaml:"gid" doc:"Its number, 0 to 60000. Default: the next free one. A group that exists must have it already."`
}

// Validate checks the number's range.
func (g *Group) Validate(at *config.At) { checkID(at, "gid", g.GID) }

// MaxID is the largest user and group number that configs may ask for.
const MaxID = 60000

func checkID(at *config.At, key string, id *int) {
	if id != nil && (*id < 0 || *id > MaxID) {
		at.Field(key).Errorf("%s: %d is out of range", key, *id).Hint("use a number from 0 to %d", MaxID)
	}
}

// AccountName is the name of a user or group.
type AccountName string

// accountForm is what useradd(8) accepts.
var accountForm = regexp.MustCompile(`^[a-z_][a-z0-9_.-]{0,30}[a-z0-9_.$-]?$`)

// Validate checks the name's form.
func (n *AccountName) Validate(at *config.At) {
	if !accountForm.MatchString(string(*n)) {
		at.Errorf("%q is not an account name", string(*n)).
			Hint("begin with a small letter or \"_\", go on with small letters, digits, \"_\", \"-\" and \".\"; at most 32 characters")
	}
}

func planGroups(c *Config) (p plan.Plan) {
	for _, g := range c.OS.Groups {
		p = append(p, AddGroup{string(g.Name), g.GID})
	}
	return p
}

// AddGroup makes a group where it does not exist.
type AddGroup struct {
	Group string
	GID   *int
}

// Name identifies the step.
func (AddGroup) Name() string { return "groups.add" }

func (s AddGroup) String() string {
	if s.GID == nil {
		return "make sure that group " + s.Group + " exists"
	}
	return fmt.Sprintf("make sure that group %s exists with number %d", s.Group, *s.GID)
}

// Check finds a group that exists with another number.
func (s AddGroup) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	if gid, ok := groupID(m.Root, s.Group); ok && s.GID != nil && *s.GID != gid {
		return []plan.Problem{{
			Text: fmt.Sprintf("group %s exists in the image with number %d, the config asks for %d", s.Group, gid, *s.GID),
			Hint: "remove gid, or use the image's number",
		}}
	}
	return nil
}

// Run makes the group with the image's own groupadd.
func (s AddGroup) Run(ctx context.Context, m *machine.Machine) error {
	if _, ok := groupID(m.Root, s.Group); ok {
		return nil
	}
	args := []string{s.Group}
	if s.GID != nil {
		args = []string{"-g", strconv.Itoa(*s.GID), s.Group}
	}
	return m.Run(ctx, hostcmd.New("groupadd", args...))
}

// record returns the colon-separated fields of a line of an account file whose first field is name.
func record(root *rootfs.Root, file, name string) []string {
	data, _ := root.ReadFile(file)
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(strings.TrimRight(line, "\n"), ":"); f[0] == name {
			return f
		}
	}
	return nil
}

// groupID looks a group up in the image's /etc/group.
func groupID(root *rootfs.Root, name string) (gid int, ok bool) {
	f := record(root, "/etc/group", name)
	if len(f) < 3 {
		return 0, false
	}
	gid, err := strconv.Atoi(f[2])
	return gid, err == nil
}

// account is a line of /etc/passwd.
type account struct {
	uid, gid int
	home     string
}

func lookupUser(root *rootfs.Root, name string) (a account, ok bool) {
	f := record(root, "/etc/passwd", name)
	if len(f) < 7 {
		return a, false
	}
	uid, err1 := strconv.Atoi(f[2])
	gid, err2 := strconv.Atoi(f[3])
	return account{uid, gid, f[5]}, err1 == nil && err2 == nil
}

// setField changes one field of an account's line.
func setField(root *rootfs.Root, file, name string, field int, value string) error {
	found := false
	err := replaceLines(root, file, func(line string) (string, bool) {
		f := strings.Split(line, ":")
		if f[0] != name || len(f) <= field {
			return line, true
		}
		found = true
		f[field] = value
		return strings.Join(f, ":"), true
	})
	if err == nil && !found {
		err = fmt.Errorf("%s has no line for %s", file, name)
	}
	return err
}
