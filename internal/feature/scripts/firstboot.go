package scripts

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/services"
	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// FirstBootScript is a script that runs once, on the machine, as root.
type FirstBootScript struct {
	Name        ScriptName        `yaml:"name" required:"true" doc:"What its unit and messages call it: first-boot-NAME.service." example:"register"`
	Path        config.Path       `yaml:"path" doc:"File below the config file's folder. Either this or content."`
	Content     string            `yaml:"content" doc:"Text of the script. Either this or path. It is taken off the machine when it has ended."`
	Interpreter string            `yaml:"interpreter" default:"/bin/sh" doc:"Program of the image that runs the script."`
	Arguments   []string          `yaml:"arguments" doc:"Arguments of the script."`
	Before      services.UnitName `yaml:"before" doc:"Unit that starts when the script has ended." example:"nginx"`
	After       services.UnitName `yaml:"after" doc:"Unit that has started when the script begins."`
	Network     bool              `yaml:"network" default:"false" doc:"Wait until the network is up."`
	Timeout     int               `yaml:"timeout" default:"0" doc:"Seconds after which it is ended, and has failed; 0 for no limit."`
	OnFailure   OnFailure         `yaml:"onFailure" default:"continue" doc:"What a failure does: nothing but a failed unit, a shell on the console instead of the system, or power off. A script that failed has ended, and does not run again."`
	OnInterrupt OnInterrupt       `yaml:"onInterrupt" default:"rerun" doc:"What becomes of a script that was cut off, by a loss of power or a reboot of its own. rerun: the next boot runs it again, with the environment variable ATTEMPT one higher, ten times at most; skip: the next boot says so, and does not."`

	// Dir is the folder of the file that the script stands in.
	Dir string `yaml:"-"`
}

// ScriptName is part of a unit's name.
type ScriptName string

// Describe tells how the name is written.
func (ScriptName) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `^[A-Za-z0-9]([A-Za-z0-9-]{0,38}[A-Za-z0-9])?$`}
}

// Validate checks the name's form.
func (n *ScriptName) Validate(at *config.At) {
	if !n.Describe().Fits(string(*n)) {
		at.Errorf("%q cannot be the name of a script", string(*n)).Hint("write at most 40 letters, digits and \"-\"")
	}
}

// OnFailure is what a failure does.
type OnFailure string

// Values lists what it can do.
func (OnFailure) Values() []string { return []string{"continue", "emergency", "poweroff"} }

// OnInterrupt is what becomes of a script that was cut off.
type OnInterrupt string

// Values lists the ways.
func (OnInterrupt) Values() []string { return []string{"rerun", "skip"} }

// Validate checks that there is one script, and a time.
func (s *FirstBootScript) Validate(at *config.At) {
	script := Script{Path: s.Path, Content: s.Content, Interpreter: s.Interpreter}
	script.Validate(at)
	s.Dir = script.Dir
	if s.Timeout < 0 {
		at.Field("timeout").Errorf("%d seconds are no time", s.Timeout).Hint("write how many seconds it may take, or 0")
	}
	for _, a := range s.Arguments {
		if strings.ContainsAny(a, "\x00") {
			at.Field("arguments").Errorf("an argument holds a zero byte, which no program can be given")
		}
	}
}

// FirstBoot are the scripts, in their order.
type FirstBoot []FirstBootScript

// Validate finds names that are there twice, and orders that contradict each other.
func (l *FirstBoot) Validate(at *config.At) {
	feature.Unique(at, "name", *l, func(s FirstBootScript) string { return string(s.Name) })
	for i, s := range *l {
		for j, earlier := range (*l)[:i+1] {
			if s.Before != "" && unitOf(s.Before) == unitOf(earlier.After) {
				at.Index(i).Field("before").Errorf("%s is to start after %s, but script %s (number %d) before that waits for it", s.Before, s.Name, earlier.Name, j+1).
					Hint("change the order of the scripts, or remove one of before and after")
			}
		}
	}
}

func unitOf(n services.UnitName) string {
	if n == "" {
		return ""
	}
	return services.SetService{Unit: string(n)}.FullName()
}

// Used tells whether there are some.
func (l FirstBoot) Used() bool { return len(l) > 0 }

// firstBootDir is where the scripts lie, with what is known of them: it must be writable at boot.
const firstBootDir = "/var/lib/imagecustomizer/first-boot"

const firstBootRunner = "/usr/lib/imagecustomizer/first-boot"

// Touches are the folders of scripts and units.
func (FirstBoot) Touches() []feature.Touch {
	return []feature.Touch{{Path: firstBootDir}, {Path: firstBootRunner}, {Path: services.UnitFolders[0]}}
}

// Record names the scripts with their hash.
func (l FirstBoot) Record() (any, error) {
	return feature.RecordEach(l, func(s FirstBootScript) (map[string]any, error) {
		d := map[string]any{"name": s.Name}
		return d, feature.RecordText(d, "path", s.Path, &s.Content)
	})
}

// Plan adds all in one step.
func (l FirstBoot) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	return plan.Plan{AddFirstBoot{Scripts: l, Files: g.Files, Unwritable: g.Unwritable("/var")}}, nil
}

// AddFirstBoot puts scripts into the image, each with a unit that runs it.
type AddFirstBoot struct {
	Scripts    FirstBoot
	Files      feature.Supplied
	Unwritable string // why /var cannot be written at boot
}

// Name identifies the step.
func (AddFirstBoot) Name() string { return "firstboot" }

func (s AddFirstBoot) String() string {
	var names []string
	for _, x := range s.Scripts {
		names = append(names, string(x.Name))
	}
	return "add scripts that run once, at the first boot: " + strings.Join(names, ", ")
}

// Check finds what keeps a script from running, or from being remembered.
func (s AddFirstBoot) Check(_ context.Context, m *machine.Machine) (problems []plan.Problem) {
	add := func(at, text, hint string, later bool) {
		problems = append(problems, plan.Problem{Path: at, Text: text, Hint: hint, Later: later})
	}
	if !m.Has("systemctl") {
		add("os.firstBoot", "the image has no systemd, which runs scripts at the first boot", "install it in the same run, or use the image's own init", true)
		return problems
	}
	if why := cmp.Or(s.Unwritable, volatileVar(m)); why != "" {
		add("os.firstBoot", "that a script has run could not be remembered: "+why, "give /var a filesystem of its own, or an overlay", false)
	}
	for i, x := range s.Scripts {
		at := fmt.Sprintf("os.firstBoot[%d]", i)
		for _, p := range (RunScript{Script: Script{Interpreter: x.interpreter()}, Files: s.Files}).missing(m, x.interpreter()) {
			add(at+".interpreter", p.Text, p.Hint, true)
		}
		if x.Timeout > 0 && !m.Has("timeout") {
			add(at+".timeout", "the image has no program timeout, which ends the script", "install coreutils in the same run, or remove timeout", true)
		}
		problems = append(problems, s.checkUnits(m, at, x)...)
	}
	return problems
}

func (x FirstBootScript) interpreter() string { return cmp.Or(x.Interpreter, "/bin/sh") }

//go:embed firstboot.sh
var firstBootText string

// Replaces are the runner and the files of each script.
func (s AddFirstBoot) Replaces(*machine.Machine) []plan.Replaced {
	list := feature.Replaced("os.firstBoot", firstBootRunner)
	for i, x := range s.Scripts {
		list = append(list, feature.Replaced(fmt.Sprintf("os.firstBoot[%d]", i), path.Join(firstBootDir, string(x.Name), "script"), path.Join(services.UnitFolders[0], x.unit()))...)
	}
	return list
}

type firstBootFile struct {
	name, text string
	mode       fs.FileMode
}

// Run writes scripts, settings and units.
func (s AddFirstBoot) Run(ctx context.Context, m *machine.Machine) error {
	if problems := s.Check(ctx, m); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	s.warnNetwork(m)
	files := []firstBootFile{{firstBootRunner, firstBootText, 0o755}}
	wants := services.UnitFolders[0] + "/multi-user.target.wants"
	dirs := []string{wants, path.Dir(firstBootRunner)}
	for i, x := range s.Scripts {
		text, err := x.text()
		if err != nil {
			return err
		}
		dir := path.Join(firstBootDir, string(x.Name))
		dirs = append(dirs, dir)
		previous := ""
		if i > 0 {
			previous = s.Scripts[i-1].unit()
		}
		files = append(files, firstBootFile{dir + "/script", text, 0o700}, firstBootFile{dir + "/settings", x.settings(), 0o600},
			firstBootFile{path.Join(services.UnitFolders[0], x.unit()), x.unitText(previous), 0o644})
	}
	for _, dir := range dirs {
		if err := m.Root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := m.Root.WriteFile(f.name, []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	return s.link(m, wants)
}

// link has the units started, and closes the folders, in which scripts may hold secrets.
func (s AddFirstBoot) link(m *machine.Machine, wants string) error {
	for _, x := range s.Scripts {
		link := path.Join(wants, x.unit())
		if _, err := m.Root.Lstat(link); err != nil {
			if err := m.Root.Symlink("../"+x.unit(), link); err != nil {
				return err
			}
		}
		dir := path.Join(firstBootDir, string(x.Name))
		if err := m.Root.Chmod(dir, 0o700); err != nil {
			return err
		}
		for _, old := range []string{"ended", "attempt"} { // of a base image that has run a script of this name
			if m.Root.Exists(path.Join(dir, old)) {
				if err := m.Root.Remove(path.Join(dir, old)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (x FirstBootScript) text() (string, error) {
	if x.Path.Resolved == "" {
		return x.Content, nil
	}
	data, err := hostfs.ReadSmall(x.Path.Resolved, maxScript)
	return string(data), err
}

func (x FirstBootScript) unit() string { return "first-boot-" + string(x.Name) + ".service" }

// settings are what the runner reads.
func (x FirstBootScript) settings() string {
	words := append([]string{x.interpreter(), path.Join(firstBootDir, string(x.Name), "script")}, x.Arguments...)
	if x.Timeout > 0 {
		words = append([]string{"timeout", "-k", "10", fmt.Sprint(x.Timeout)}, words...)
	}
	for i, w := range words {
		words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return fmt.Sprintf("name='%s'\ninterrupt='%s'\nrun_script() { %s; }\n", x.Name, cmp.Or(x.OnInterrupt, "rerun"), strings.Join(words, " "))
}

// unitText is the unit that runs the script, behind that of the one before it.
func (x FirstBootScript) unitText(previous string) string {
	var after, more string
	if x.Network {
		more, after = "Wants=network-online.target\n", " network-online.target"
	}
	if x.After != "" {
		after += " " + unitOf(x.After)
	}
	if previous != "" {
		after += " " + previous
	}
	if after != "" {
		more += "After=" + strings.TrimSpace(after) + "\n"
	}
	if before := unitOf(x.Before); before != "" {
		more += "Before=" + before + "\n"
	}
	switch x.OnFailure {
	case "emergency":
		more += "OnFailure=emergency.target\nOnFailureJobMode=replace-irreversibly\n"
	case "poweroff":
		more += "FailureAction=poweroff\n"
	}
	dir := path.Join(firstBootDir, string(x.Name))
	return "[Unit]\nDescription=First boot: " + string(x.Name) + "\nRequiresMountsFor=" + dir + "\nConditionPathExists=" + dir + "/script\n" + more +
		"\n[Service]\nType=oneshot\nRemainAfterExit=yes\nTimeoutStartSec=infinity\nStandardOutput=journal+console\nStandardError=journal+console\n" +
		"ExecStart=/bin/sh " + firstBootRunner + " " + string(x.Name) + "\n"
}
