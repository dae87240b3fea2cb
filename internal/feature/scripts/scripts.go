// Package scripts runs the user's programs: in the image during the run (scripts), and on each machine at its first boot
// (os.firstBoot).
package scripts

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/initramfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/sandbox"
)

// Scripts are the user's own programs, run in the image.
type Scripts struct {
	PostCustomization     []Script `yaml:"postCustomization" doc:"Scripts that run when everything else is customized, with DNS."`
	FinalizeCustomization []Script `yaml:"finalizeCustomization" doc:"Scripts that run last of all, without DNS."`
}

// Script is one script. It runs as root in the image's root folder. The config file's folder can be
// read at /_imageconfigs. The environment is what environmentVariables says, and a PATH where that says none.
type Script struct {
	Path                 config.Path       `yaml:"path" doc:"File below the config file's folder. Either this or content."`
	Content              string            `yaml:"content" doc:"Text of the script. Either this or path. The interpreter gets it as it is: a shell goes on behind a command that fails, and the status of the last one counts, unless the script begins with set -e."`
	Interpreter          string            `yaml:"interpreter" default:"/bin/sh" doc:"Program of the image that runs the script."`
	Arguments            []string          `yaml:"arguments" doc:"Arguments of the script."`
	EnvironmentVariables map[string]string `yaml:"environmentVariables" secret:"maybe" doc:"The script's environment. Besides it there is only PATH, with /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin where none is given here."`
	Network              ScriptNetwork     `yaml:"network" default:"host" doc:"What the script reaches: host (the build host's network) or none (nothing but a loopback interface of its own)."`
	Secrets              []SecretName      `yaml:"secrets" doc:"Names of secret variables that the script can read, each as a file: /run/secrets/NAME. The files are in memory, and gone when the script ends. See [secrets](secrets.md)."`
	Label                string            `yaml:"name" doc:"What messages call the script."`

	// ShellLine is set for scripts of the 2023 schema, whose arguments are one text for the shell.
	ShellLine string `yaml:"-"`
	// Dir is the folder of the file that the script stands in.
	Dir string `yaml:"-"`
}

// SecretName is the name of a secret variable.
type SecretName string

// Describe tells how the name is written.
func (SecretName) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `^[A-Za-z][A-Za-z0-9_-]*$`, Max: 128}
}

// Validate checks the name's form.
func (n *SecretName) Validate(at *config.At) {
	if !n.Describe().Fits(string(*n)) {
		at.Errorf("%q cannot be the name of a secret", string(*n)).Hint("write the name of a variable of the type secret")
	}
}

// ScriptNetwork is what a script can reach.
type ScriptNetwork string

// Values are the kinds of network.
func (ScriptNetwork) Values() []string { return []string{"host", "none"} }

// Validate checks that there is one script, below the config's folder.
func (s *Script) Validate(at *config.At) {
	s.Dir = at.Dir()
	switch {
	case at.Has("path") && at.Has("content"):
		at.Field("content").Errorf("content and path exclude each other").Hint("keep one of them")
	case !at.Has("path") && !at.Has("content"):
		at.Errorf("the script has neither path nor content").Hint("add \"path:\" with a file, or \"content:\" with the script")
	}
	if at.Has("content") {
		scriptText(s.Content, "the script", s.Interpreter, at.Field("content"))
	}
	if text, ok := ScriptFile(s.Path, at.Field("path")); ok {
		scriptText(text, s.Path.Text, s.Interpreter, at.Field("path"))
	}
	for k, v := range s.EnvironmentVariables {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			at.Field("environmentVariables").Field(k).Errorf("%q cannot be the name of an environment variable", k)
		}
	}
}

// ScriptFile checks that a script lies below the config file's folder, which is what the image gets to see,
// and returns its text where files are looked at.
func ScriptFile(p config.Path, at *config.At) (text string, ok bool) {
	if p.Resolved == "" {
		return "", false
	}
	if rel, err := filepath.Rel(at.Dir(), p.Resolved); err != nil || !filepath.IsLocal(rel) {
		at.Errorf("%s is not below the config file's folder, %s", p.Text, at.Dir()).Hint("scripts see that folder at /_imageconfigs; move the script into it")
		return "", false
	}
	if !p.NeedFile(at) || !at.CheckFiles() {
		return "", false
	}
	data, err := hostfs.ReadSmall(p.Resolved, maxScript)
	if err != nil {
		at.Errorf("cannot read %s: %v", p.Text, err)
	}
	return string(data), err == nil
}

// Phase is a list of scripts. What they write cannot be known.
type Phase struct {
	Name  string
	List  []Script
	After bool // others run before them
}

// Used tells whether there are some.
func (s Phase) Used() bool { return len(s.List) > 0 }

// Touches is not known.
func (Phase) Touches() []feature.Touch { return nil }

// Record names the scripts with their hash. The values of their environment may be secret.
func (s Phase) Record() (any, error) {
	return feature.RecordEach(s.List, func(x Script) (map[string]any, error) {
		d := map[string]any{}
		if x.Label != "" {
			d["name"] = x.Label
		}
		if len(x.Secrets) > 0 {
			d["secrets"] = x.Secrets
		}
		if names := slices.Sorted(maps.Keys(x.EnvironmentVariables)); len(names) > 0 {
			d["environmentVariables"] = names
		}
		return d, feature.RecordText(d, "path", x.Path, &x.Content)
	})
}

// Plan runs one after the other.
func (s Phase) Plan(g *feature.Given) (p plan.Plan, _ []plan.Problem) {
	for i, x := range s.List {
		r := RunScript{Secrets: secretsOf(g, x), Phase: s.Name, Index: i, Script: x, ConfigDir: cmp.Or(x.Dir, g.ConfigDir), Named: g.Named, Files: g.Files, After: s.After || i > 0}
		if r.Script.Interpreter == "" {
			r.Script.Interpreter = "/bin/sh"
		}
		p = append(p, r)
	}
	return p, nil
}

// RunScript runs one script in the image.
type RunScript struct {
	Phase     string // postCustomization or finalizeCustomization
	Index     int
	Script    Script
	ConfigDir string   // on the build host
	Named     []string // files and folders that the config names
	Files     feature.Supplied
	After     bool // other scripts run before it

	Secrets map[string]string // that it can read, by their names
}

// secretsOf are the secrets that a script names.
func secretsOf(g *feature.Given, s Script) map[string]string {
	named := map[string]string{}
	for _, n := range s.Secrets {
		named[string(n)] = g.Secrets[string(n)]
	}
	return named
}

// ConfigMount is where scripts see the config file's folder.
const ConfigMount = "/_imageconfigs"

// inlineScript is where the text of an inline script lies while it runs, on a tmpfs.
const inlineScript = "/tmp/imagecustomizer-script"

// Name identifies the step.
func (s RunScript) Name() string { return "scripts." + s.Phase }

// AskedBy is where the script stands in the config.
func (s RunScript) AskedBy() string { return fmt.Sprintf("scripts.%s[%d]", s.Phase, s.Index) }

func (s RunScript) String() string {
	what := s.Script.Label
	switch {
	case s.Script.Path.Text != "" && what != "":
		what += " (" + s.Script.Path.Text + ")"
	case s.Script.Path.Text != "":
		what = s.Script.Path.Text
	case what == "":
		what = fmt.Sprintf("number %d, given in the config", s.Index+1)
	}
	return "run script " + what
}

// Check finds interpreters that the image lacks. A script may bring those of later ones.
func (s RunScript) Check(_ context.Context, m *machine.Machine) (problems []plan.Problem) {
	if s.After {
		return nil
	}
	for _, program := range s.interpreters() {
		problems = append(problems, s.missing(m, program)...)
	}
	return problems
}

// Run runs the script. What it prints last is in the error.
func (s RunScript) Run(ctx context.Context, m *machine.Machine) error {
	c, err := s.command(m)
	if err != nil {
		return err
	}
	run := func() error {
		return m.WithSecrets(s.Secrets, func() error { return m.RunScript(ctx, c, s.options()...) })
	}
	if err := m.WithFiles(s.ConfigDir, s.Named, ConfigMount, func() error { return booting.Settled(ctx, m, initramfs.Guard{}, run) }); err != nil {
		return err
	}
	return m.Root.Remove(inlineScript)
}

func (s RunScript) options() []sandbox.Option {
	if s.Script.Network == "none" {
		return []sandbox.Option{sandbox.NoNetwork}
	}
	return nil
}

func (s RunScript) command(m *machine.Machine) (*hostcmd.Cmd, error) {
	file := inlineScript
	if s.Script.Path.Resolved == "" {
		if err := m.Root.WriteFile(file, []byte(s.Script.Content), 0o700); err != nil {
			return nil, err
		}
	} else {
		rel, err := filepath.Rel(s.ConfigDir, s.Script.Path.Resolved)
		if err != nil {
			return nil, err
		}
		file = path.Join(ConfigMount, filepath.ToSlash(rel))
	}
	c := hostcmd.New(s.Script.Interpreter, append([]string{file}, s.Script.Arguments...)...)
	if s.Script.ShellLine != "" {
		c = hostcmd.New("/bin/sh", "-c", file+" "+s.Script.ShellLine)
	}
	c.Env = []string{hostcmd.DefaultPath}
	if _, own := s.Script.EnvironmentVariables["PATH"]; own {
		c.Env = nil
	}
	for _, k := range slices.Sorted(maps.Keys(s.Script.EnvironmentVariables)) {
		c.Env = append(c.Env, k+"="+s.Script.EnvironmentVariables[k])
	}
	c.Label = strings.TrimPrefix(s.String(), "run ")
	return c, nil
}
