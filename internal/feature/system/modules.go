package system

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
)

// Module says what to do about a kernel module at boot.
type Module struct {
	Name     ModuleName        `yaml:"name" required:"true" doc:"Name of the module." example:"br_netfilter"`
	LoadMode LoadMode          `yaml:"loadMode" default:"inherit" doc:"always: load it at boot; auto: let the system load it when needed, even if it was disabled; disable: keep the system from loading it by itself (blacklist of modprobe.d), as the reference does: who asks for it by name, or loads a module that needs it, still gets it. For never, add a file /etc/modprobe.d/NAME.conf with the line \"install NAME /bin/false\"; inherit: as in the base image."`
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

// Modules are the kernel modules of a config.
type Modules []Module

// Used tells whether there are some.
func (l Modules) Used() bool { return len(l) > 0 }

// Touches is the directory of the file that says what to load.
func (Modules) Touches() []feature.Touch { return []feature.Touch{{Path: path.Dir(loadFile)}} }

// Plan sets one after the other.
func (l Modules) Plan(g *feature.Given) (p plan.Plan, _ []plan.Problem) {
	for i, m := range l {
		p = append(p, SetModule{
			Module: string(m.Name), LoadMode: string(m.LoadMode), Options: m.Options, Path: fmt.Sprintf("os.modules[%d]", i), Args: g.Args,
		})
	}
	return p, nil
}

// Record is all that is said of them.
func (l Modules) Record() (any, error) {
	return feature.RecordEach(l, func(m Module) (map[string]any, error) {
		return map[string]any{"name": m.Name, "loadMode": m.LoadMode, "options": m.Options}, nil
	})
}

// SetModule writes what modules-load.d(5) and modprobe.d(5) read.
type SetModule struct {
	Module   string
	LoadMode string
	Options  map[string]string
	Path     string   // in the config
	Args     []string // kernel arguments that the config adds
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

// loads tells whether the module is to be loaded, at boot or when something needs it.
func (s SetModule) loads() bool { return s.LoadMode == "always" || s.LoadMode == "auto" }

// Check finds a module that no kernel of the image has, and one that could not be loaded all the same.
func (s SetModule) Check(_ context.Context, m *machine.Machine) (problems []plan.Problem) {
	if text := s.unread(m); text != "" {
		hint := "set it up for the image's own init, in a script or with additionalFiles"
		if m.Facts.PackageManager != "" {
			hint = "install kmod and systemd in the same run"
		}
		problems = append(problems, plan.Problem{Path: s.Path, Text: text, Hint: hint, Later: true})
	}
	if there := modulesThere(m); s.loads() && len(there) > 0 && !slices.ContainsFunc(there, func(n string) bool { return sameModule(n, s.Module) }) {
		problems = append(problems, plan.Problem{
			Path: s.Path + ".name", Text: "no kernel of the image has a module " + s.Module, Later: true,
			Hint: config.DidYouMean(s.Module, there, "install a kernel package that has it in the same run"),
		})
	}
	if file := deniedBy(m.Root, s.Module); len(s.Options) > 0 && !s.loads() && file != "" {
		problems = append(problems, plan.Problem{
			Path: s.Path + ".options", Text: fmt.Sprintf("kernel module %s has options but is disabled in the image by %s", s.Module, file), Hint: "set loadMode to always or auto",
		})
	}
	args, _ := boot.Args(m.Root, m.Facts.Boot) // where they cannot be read, none of them is ours
	if a := deniedAtBoot(append(args, s.Args...), s.Module); a != "" && s.loads() {
		hint := "remove the argument in an earlier run"
		if slices.Contains(s.Args, a) {
			hint = "remove it from os.kernelCommandLine, or set loadMode to disable"
		}
		problems = append(problems, plan.Problem{
			Path: s.Path + ".name", Text: fmt.Sprintf("the kernel argument %s keeps the module %s from being loaded", a, s.Module), Hint: hint,
		})
	}
	return problems
}

// unread says that nothing in the image reads what the step writes, or "".
func (s SetModule) unread(m *machine.Machine) string {
	has := func(files ...string) bool { return slices.ContainsFunc(files, m.Root.Exists) }
	switch {
	case !s.loads() && s.LoadMode != "disable" && len(s.Options) == 0: // nothing is written
	case s.LoadMode == "always" && !has("/usr/lib/systemd/systemd-modules-load", "/lib/systemd/systemd-modules-load", "/etc/init.d/kmod", "/etc/init.d/modules"):
		return fmt.Sprintf("module %s: nothing in the image loads modules at boot from /etc/modules-load.d", s.Module)
	case !m.Has("modprobe") && !has("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd"):
		return fmt.Sprintf("module %s: the image has no modprobe, and nothing that would read /etc/modprobe.d", s.Module)
	}
	return ""
}

// Run edits the files. A module that is to be loaded is kept from it nowhere.
func (s SetModule) Run(_ context.Context, m *machine.Machine) error {
	var errs []error
	switch s.LoadMode {
	case "always":
		errs = append(errs, allow(m.Root, s.Module), addLine(m.Root, loadFile, s.Module))
	case "auto":
		errs = append(errs, allow(m.Root, s.Module), s.loadNoMore(m.Root))
	case "disable":
		errs = append(errs, s.loadNoMore(m.Root), addLine(m.Root, disableFile, "blacklist "+s.Module))
	}
	if len(s.Options) > 0 {
		errs = append(errs, s.writeOptions(m.Root))
	}
	if file := deniedBy(m.Root, s.Module); s.loads() && file != "" {
		errs = append(errs, fmt.Errorf("%s still keeps the module %s from being loaded", file, s.Module))
	}
	return errors.Join(errs...)
}

func (s SetModule) loadNoMore(root *rootfs.Root) error {
	err := root.EditLines(loadFile, func(l string) (string, bool) { return l, !sameModule(strings.TrimSpace(l), s.Module) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func addLine(root *rootfs.Root, file, line string) error {
	if err := root.MkdirAll(file[:strings.LastIndex(file, "/")], 0o755); err != nil {
		return err
	}
	return root.AppendLines(file, 0o644, line)
}

// writeOptions updates the module's line, keeping options that the config does not name.
func (s SetModule) writeOptions(root *rootfs.Root) error {
	merged := map[string]string{}
	var plain []string
	err := root.EditLines(optionsFile, func(l string) (string, bool) {
		f := strings.Fields(l)
		if len(f) < 2 || f[0] != "options" || !sameModule(f[1], s.Module) {
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

// Replaces lists the files for the module.
func (s SetModule) Replaces(*machine.Machine) (list []plan.Replaced) {
	switch s.LoadMode {
	case "always":
		list = feature.Replaced(s.Path, loadFile)
	case "disable":
		list = feature.Replaced(s.Path, disableFile)
	}
	if len(s.Options) > 0 {
		list = append(list, feature.Replaced(s.Path, optionsFile)...)
	}
	return list
}
