package users

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/accounts"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/plan"
)

// SudoRule lets somebody run programs as somebody else.
type SudoRule struct {
	User     AccountName   `yaml:"user" doc:"Who may. Either this, group or rule." example:"alice"`
	Group    AccountName   `yaml:"group" doc:"Group whose members may. Either this, user or rule."`
	Commands []SudoCommand `yaml:"commands" doc:"Programs, with their full paths and perhaps arguments. Default: all."`
	RunAs    AccountName   `yaml:"runAs" doc:"As whom the programs run. Default: as anybody."`
	Password *bool         `yaml:"password" default:"true" doc:"Whether sudo asks for the user's password."`
	Rule     SudoWord      `yaml:"rule" doc:"A line of sudoers(5), as it is." example:"%operators ALL=(root) /usr/bin/systemctl restart nginx"`
}

// SudoWord is a text of one line in sudoers(5).
type SudoWord string

// Describe tells how the text is written.
func (SudoWord) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `^[^\n\r]*[^\n\r\\]$`, Except: `^\s*(#([^0-9]|$)|#[0-9]+\s*$|@include|$)`}
}

// Validate keeps a text from being more than one line.
func (w *SudoWord) Validate(at *config.At) {
	if !w.Describe().Fits(string(*w)) {
		at.Errorf("this is not one rule, but a comment, the name of a file, or more than one line").Hint("write one item for each rule")
	}
}

// SudoCommand is a program that a rule is about.
type SudoCommand string

// Describe tells how the program is written: with its path, or as sudoedit or an alias.
func (SudoCommand) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `^!?(/|sudoedit( |$)|[A-Z][A-Z0-9_]*$)[^\n\r]*$`, Except: `\\$`}
}

// Validate checks that it is a path.
func (c *SudoCommand) Validate(at *config.At) {
	if !c.Describe().Fits(string(*c)) {
		at.Errorf("%q is not the full path of a program", string(*c)).Hint("write it like /usr/bin/systemctl restart nginx")
	}
}

// Validate checks that a rule says who may do what.
func (r *SudoRule) Validate(at *config.At) {
	n := 0
	for _, key := range []string{"user", "group", "rule"} {
		if at.Has(key) {
			n++
		}
	}
	if n != 1 {
		at.Errorf("a rule of sudo has one of user, group and rule").Hint("write who may, such as \"user: alice\"")
	}
	if r.Rule != "" && (at.Has("commands") || at.Has("runAs") || at.Has("password")) {
		at.Field("rule").Errorf("rule is a whole line, and cannot be mixed with commands, runAs and password").Hint("write it all in rule, or leave it out")
	}
}

// line is the rule in sudoers(5).
func (r SudoRule) line() string {
	if r.Rule != "" {
		return string(r.Rule)
	}
	who := sudoEscape(string(r.User))
	if r.Group != "" {
		who = "%" + sudoEscape(string(r.Group))
	}
	as, tag, commands := "ALL:ALL", "", []string{"ALL"}
	if r.RunAs != "" {
		as = sudoEscape(string(r.RunAs))
	}
	if r.Password != nil && !*r.Password {
		tag = "NOPASSWD: "
	}
	if len(r.Commands) > 0 {
		commands = nil
		for _, c := range r.Commands {
			commands = append(commands, strings.ReplaceAll(string(c), ",", `\,`))
		}
	}
	return fmt.Sprintf("%s ALL=(%s) %s%s", who, as, tag, strings.Join(commands, ", "))
}

func sudoEscape(name string) string {
	return strings.NewReplacer(" ", `\ `, "@", `\@`, "!", `\!`, "=", `\=`, ":", `\:`, ",", `\,`, "(", `\(`, ")", `\)`).Replace(name)
}

// SudoRules are the rules of a config.
type SudoRules []SudoRule

// Used tells whether there are some.
func (l SudoRules) Used() bool { return len(l) > 0 }

// Touches is the file that holds them.
func (SudoRules) Touches() []feature.Touch { return []feature.Touch{{Path: sudoFile}} }

// Plan writes them.
func (l SudoRules) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	return plan.Plan{SetSudo{l, g.Users, g.Groups}}, nil
}

// Record is the lines.
func (l SudoRules) Record() (any, error) {
	return feature.RecordIf(l.Used(), SetSudo{Rules: l}.lines())
}

// The files of sudoers(5). The last rule that fits wins, and files in the directory are read in the order of their
// names; one whose name has a dot is not read at all.
const (
	sudoersFile = "/etc/sudoers"
	sudoersDir  = "/etc/sudoers.d"
	sudoFile    = sudoersDir + "/zz-image"
)

// SetSudo writes rules for sudo, which the image's visudo has checked.
type SetSudo struct {
	Rules         SudoRules
	Users, Groups []string // that are made by then
}

// Name identifies the step.
func (SetSudo) Name() string { return "sudo" }

func (s SetSudo) String() string { return "let sudo: " + strings.Join(s.lines(), "; ") }

func (s SetSudo) lines() (list []string) {
	for _, r := range s.Rules {
		list = append(list, r.line())
	}
	return list
}

// Replaces is the file that holds the rules.
func (SetSudo) Replaces(*machine.Machine) []plan.Replaced {
	return feature.Replaced("os.sudo", sudoFile)
}

// Check looks for sudo, has it read each rule, and looks for who is named and for what would win over the rules.
func (s SetSudo) Check(ctx context.Context, m *machine.Machine) (problems []plan.Problem) {
	add := func(later bool, at, hint, format string, args ...any) {
		problems = append(problems, plan.Problem{Path: at, Text: fmt.Sprintf(format, args...), Hint: hint, Later: later})
	}
	if !m.Has("sudo") || !m.Has("visudo") {
		add(true, "os.sudo", feature.Installing(m, pkgmgr.Sudo), "the image has no sudo")
		return problems
	}
	for i, r := range s.Rules {
		at := fmt.Sprintf("os.sudo[%d]", i)
		if name := string(r.User); name != "" && !slices.Contains(s.Users, name) && accounts.Entry(m.Root, accounts.PasswdFile, name) == nil {
			add(true, at+".user", config.DidYouMean(name, append(accounts.Names(m.Root, accounts.PasswdFile), s.Users...), "add the user with os.users"), "the image has no user %s", name)
		}
		if name := string(r.Group); name != "" && !slices.Contains(s.Groups, name) && accounts.Entry(m.Root, accounts.GroupFile, name) == nil {
			add(true, at+".group", config.DidYouMean(name, append(accounts.Names(m.Root, accounts.GroupFile), s.Groups...), "add the group with os.groups"), "the image has no group %s", name)
		}
		if why := visudo(ctx, m, strings.NewReader(r.line()+"\n"), "-"); why != "" {
			add(false, at, "sudoers(5) says how a rule is written", "sudo of the image would not take the rule %q: %s", r.line(), why)
		}
	}
	text, err := m.Root.ReadFile(sudoersFile)
	if err == nil && !sudoIncludes.Match(text) {
		add(true, "os.sudo", "add the line \"@includedir "+sudoersDir+"\" to it", "%s of the image does not include the files in %s", sudoersFile, sudoersDir)
	}
	entries, _ := m.Root.ReadDir(sudoersDir) // without it there are no other files
	for _, e := range entries {
		text, _ := m.Root.ReadFile(path.Join(sudoersDir, e.Name())) // what is no file has no rules
		if n := e.Name(); n > path.Base(sudoFile) && !strings.ContainsAny(n, ".~") && sudoSays.Match(text) {
			add(false, "os.sudo", "remove it in a run before this one", "%s/%s of the image is read after these rules, and its rules would win", sudoersDir, n)
		}
	}
	return problems
}

// sudoIncludes is the line by which sudoers has the files of the directory, in its old and its new form.
var sudoIncludes = regexp.MustCompile(`(?m)^[@#]includedir\s+"?(/etc/)?sudoers\.d/?"?\s*$`)

// sudoSays is a line that is no comment.
var sudoSays = regexp.MustCompile(`(?m)^\s*([^#\s]|#[0-9])`)

// visudo has the image's program read rules from a text, and says what is wrong with them. What it does not say is in
// order is not.
func visudo(ctx context.Context, m *machine.Machine, text *strings.Reader, file string) (why string) {
	c := hostcmd.New("visudo", "-c", "-f", file)
	c.Stdin = text
	var said strings.Builder
	c.Stdout, c.Stderr = &said, &said
	if err := m.Run(ctx, c); err == nil && strings.Contains(said.String(), "parsed OK") {
		return ""
	}
	return "visudo says " + cmp.Or(strings.TrimSpace(strings.ReplaceAll(said.String(), "\n", "; ")), "nothing")
}

// Run writes the file, and has visudo read all files: it must name this one.
func (s SetSudo) Run(ctx context.Context, m *machine.Machine) error {
	if problems := s.Check(ctx, m); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	if err := m.Root.MkdirAll(sudoersDir, 0o750); err != nil {
		return err
	}
	if err := m.Root.WriteFile(sudoFile, []byte(strings.Join(s.lines(), "\n")+"\n"), 0o440); err != nil {
		return err
	}
	if err := m.Root.Chmod(sudoFile, 0o440); err != nil { // sudo does not read one that others can write
		return err
	}
	if err := m.Root.Chown(sudoFile, 0, 0); err != nil {
		return err
	}
	said, err := m.Output(ctx, hostcmd.New("visudo", "-c"))
	if err == nil && !strings.Contains(said, sudoFile+": parsed OK") {
		err = fmt.Errorf("sudo of the image does not read %s; visudo says:\n%s", sudoFile, said)
	}
	return err
}
