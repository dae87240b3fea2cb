package step

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
)

// Module says what to do about a kernel module at boot.
type Module struct {
	Name     ModuleName        `yaml:"name" required:"true" doc:"Name of the module." example:"br_netfilter"`
	LoadMode LoadMode          `yaml:"loadMode" default:"inherit" doc:"always: load it at boot; auto: let the system load it when needed, even if it was disabled; disable: keep it from being loaded; inherit: as in the base image."`
	Options  map[string]string `yaml:"options" doc:"Options to load it with."`
}

// LoadMode says when a kernel module is loaded.
type LoadMode string

// Values lists the modes.
func (LoadMode) Values() []string { return []string{"always", "auto", "disable", "inherit"} }

// ModuleName is the name of a kernel module.
type ModuleName string

// Describe tells how the name is written.
func (ModuleName) Describe() config.Form { return config.Form{Kind: "text", Pattern: `^[^ \t\n/]+$`} }

// Validate checks that the name is one word.
func (n *ModuleName) Validate(at *config.At) {
	if !n.Describe().Fits(string(*n)) {
		at.Errorf("%q is not the name of a kernel module", string(*n)).Hint("write one word")
	}
}

// Validate checks the options.
func (m *Module) Validate(at *config.At) {
	options := at.Field("options")
	if m.LoadMode == "disable" && len(m.Options) > 0 {
		options.Errorf("a disabled module has no options").Hint("remove options, or use another loadMode")
	}
	for k, v := range m.Options {
		if k == "" || strings.ContainsAny(k+v, " \t\n") {
			options.Field(k).Errorf("option %q=%q holds a space or line break", k, v)
		}
	}
}

func planModules(c *Config) (p plan.Plan) {
	for _, m := range c.OS.Modules {
		p = append(p, SetModule{string(m.Name), string(m.LoadMode), m.Options})
	}
	return p
}

// SetModule writes what modules-load.d(5) and modprobe.d(5) read.
type SetModule struct {
	Module   string
	LoadMode string
	Options  map[string]string
}

// The files that hold what configs say of modules.
const (
	loadFile    = "/etc/modules-load.d/modules-load.conf"
	disableFile = "/etc/modprobe.d/modules-disabled.conf"
	optionsFile = "/etc/modprobe.d/module-options.conf"
)

// Name identifies the step.
func (SetModule) Name() string { return "modules" }

func (s SetModule) String() string {
	text := "kernel module " + s.Module
	if s.LoadMode != "" && s.LoadMode != "inherit" {
		text += ": " + s.LoadMode
	}
	if len(s.Options) > 0 {
		text += ", options " + s.optionText()
	}
	return text
}

func (s SetModule) optionText() string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(s.Options)) {
		words = append(words, k+"="+s.Options[k])
	}
	return strings.Join(words, " ")
}

// Check finds options for a module that the image disables.
func (s SetModule) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	if len(s.Options) == 0 || s.LoadMode == "always" || s.LoadMode == "auto" {
		return nil
	}
	data, _ := m.Root.ReadFile(disableFile)
	if !slices.Contains(strings.Split(string(data), "\n"), "blacklist "+s.Module) {
		return nil
	}
	return []plan.Problem{{Text: fmt.Sprintf("kernel module %s has options but is disabled in the image", s.Module), Hint: "set loadMode to always or auto"}}
}

// Run edits the three files.
func (s SetModule) Run(_ context.Context, m *machine.Machine) error {
	var errs []error
	switch s.LoadMode {
	case "always":
		errs = append(errs, dropLine(m.Root, disableFile, "blacklist "+s.Module), addLine(m.Root, loadFile, s.Module))
	case "auto":
		errs = append(errs, dropLine(m.Root, disableFile, "blacklist "+s.Module), dropLine(m.Root, loadFile, s.Module))
	case "disable":
		errs = append(errs, dropLine(m.Root, loadFile, s.Module), addLine(m.Root, disableFile, "blacklist "+s.Module))
	}
	if len(s.Options) > 0 {
		errs = append(errs, s.writeOptions(m.Root))
	}
	return errors.Join(errs...)
}

func addLine(root *rootfs.Root, file, line string) error {
	if err := root.MkdirAll(file[:strings.LastIndex(file, "/")], 0o755); err != nil {
		return err
	}
	return root.AppendLines(file, 0o644, line)
}

func dropLine(root *rootfs.Root, file, line string) error {
	err := replaceLines(root, file, func(l string) (string, bool) { return l, strings.TrimSpace(l) != line })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// writeOptions updates the module's line, keeping options that the config does not name.
func (s SetModule) writeOptions(root *rootfs.Root) error {
	merged := map[string]string{}
	var plain []string
	err := replaceLines(root, optionsFile, func(l string) (string, bool) {
		f := strings.Fields(l)
		if len(f) < 2 || f[0] != "options" || f[1] != s.Module {
			return l, true
		}
		for _, o := range f[2:] {
			if k, v, ok := strings.Cut(o, "="); ok {
				merged[k] = v
			} else {
				plain = append(plain, o)
			}
		}
		return "", false
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	maps.Copy(merged, s.Options)
	words := append([]string{"options", s.Module}, plain...)
	return addLine(root, optionsFile, strings.Join(append(words, SetModule{Options: merged}.optionText()), " "))
}
