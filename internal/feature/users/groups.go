package users

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"imagecustomizer/internal/accounts"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// Group is a group that must exist.
type Group struct {
	Name AccountName `yaml:"name" required:"true" doc:"Name of the group." example:"operators"`
	GID  *int        `yaml:"gid" min:"0" max:"60000" doc:"Its number, 0 to 60000. Default: the next free one. A group that exists must have it already."`
}

// AccountName is the name of a user or group.
type AccountName string

// accountForm is what shadow's programs accept, the newest with the option --badname; numberForm is what
// they or YAML take for a number.
var (
	accountForm = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,30}[A-Za-z0-9_.$-]?$`)
	numberForm  = regexp.MustCompile(`^([0-9.]+([eE][0-9]+)?|0[xo][0-9a-fA-F]+|\.(inf|Inf|INF|nan|NaN|NAN))$`)
)

// Describe tells how the name is written.
func (AccountName) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: accountForm.String(), Except: numberForm.String()}
}

// Validate checks the name's form.
func (n *AccountName) Validate(at *config.At) {
	switch s := string(*n); {
	case numberForm.MatchString(s):
		at.Errorf("%q is a number, not an account name", s).Hint("write the name; it holds a letter at least")
	case !accountForm.MatchString(s):
		at.Errorf("%q is not an account name", s).
			Hint("begin with a letter, a digit or \"_\", go on with letters, digits, \"_\", \"-\" and \".\"; at most 32 characters")
	}
}

// Groups are those that must exist.
type Groups []Group

// Used tells whether there are some.
func (l Groups) Used() bool { return len(l) > 0 }

// Touches is the file that lists them.
func (Groups) Touches() []feature.Touch { return []feature.Touch{{Path: accounts.GroupFile}} }

// Plan adds one after the other.
func (l Groups) Plan(g *feature.Given) (p plan.Plan, _ []plan.Problem) {
	for i, x := range l {
		g.Groups = append(g.Groups, string(x.Name))
		p = append(p, AddGroup{Group: string(x.Name), GID: x.GID, Path: g.Item("os.groups", i)})
	}
	return p, nil
}

// Record lists names and numbers.
func (l Groups) Record() (any, error) {
	return feature.RecordEach(l, func(x Group) (map[string]any, error) { return map[string]any{"name": x.Name, "gid": x.GID}, nil })
}

// AddGroup makes a group where it does not exist.
type AddGroup struct {
	Group string
	GID   *int
	Path  string // in the config
}

// Name identifies the step.
func (AddGroup) Name() string { return "groups.add" }

func (s AddGroup) String() string {
	if s.GID == nil {
		return "make sure that group " + s.Group + " exists"
	}
	return fmt.Sprintf("make sure that group %s exists with number %d", s.Group, *s.GID)
}

// Check finds a group that exists with another number, and a number that another group has.
func (s AddGroup) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	if s.GID == nil {
		return nil
	}
	problem := func(hint, format string, args ...any) []plan.Problem {
		return []plan.Problem{{Path: s.Path + ".gid", Text: fmt.Sprintf(format, args...), Hint: hint}}
	}
	if gid, ok := accounts.GroupID(m.Root, s.Group); ok && *s.GID != gid {
		return problem("remove gid, or use the image's number", "group %s exists in the image with number %d, the config asks for %d", s.Group, gid, *s.GID)
	} else if !ok {
		if other := accounts.OwnerOf(m.Root, accounts.GroupFile, *s.GID); other != "" {
			return problem("remove gid, or use a number that is free", "the number %d of group %s is that of group %s in the image", *s.GID, s.Group, other)
		}
	}
	return nil
}

// Run makes the group with the image's own groupadd, or by editing where there is none or it would refuse
// the name.
func (s AddGroup) Run(ctx context.Context, m *machine.Machine) error {
	if _, ok := accounts.GroupID(m.Root, s.Group); ok {
		return nil
	}
	if !accounts.HasTools(m) || !accounts.PlainName.MatchString(s.Group) {
		_, err := accounts.AddGroup(m.Root, s.Group, s.GID)
		return err
	}
	args := []string{s.Group}
	if s.GID != nil {
		args = []string{"-g", strconv.Itoa(*s.GID), s.Group}
	}
	return m.Run(ctx, hostcmd.New("groupadd", args...))
}

// groupsThere are the names of the image's groups.
func groupsThere(m *machine.Machine) []string { return accounts.Names(m.Root, accounts.GroupFile) }

// missingGroup is the problem of a group that neither the image nor the config has; nil where it is there.
func missingGroup(m *machine.Machine, name, path string, made []string) []plan.Problem {
	there := groupsThere(m)
	if name == "" || slices.Contains(made, name) || slices.Contains(there, name) {
		return nil
	}
	hint := config.DidYouMean(name, slices.Concat(there, made), "add it to os.groups, which makes it")
	admins := []string{"sudo", "wheel", "admin"} // one thing, by different names
	for _, a := range admins {
		if slices.Contains(admins, name) && slices.Contains(there, a) {
			hint = fmt.Sprintf("did you mean %q?", a)
		}
	}
	return []plan.Problem{{Path: path, Text: "the image has no group " + name, Hint: hint, Later: true}}
}

// Replaces lists the account files that a new group is entered in.
func (s AddGroup) Replaces(m *machine.Machine) []plan.Replaced {
	if _, there := accounts.GroupID(m.Root, s.Group); there {
		return nil
	}
	return feature.Replaced(s.Path, append([]string{accounts.GroupFile}, feature.Present(m, accounts.GshadowFile)...)...)
}
