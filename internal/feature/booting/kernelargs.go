package booting

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/kargs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// KernelCommandLine says what to add to the kernel's arguments.
type KernelCommandLine struct {
	Extra []KernelArgs `yaml:"extraCommandLine" doc:"Arguments to add; an item may hold several, separated by spaces." example:"[\"console=ttyS0\", \"quiet\"]"`
}

// KernelArgs is one or several kernel arguments, separated by spaces.
type KernelArgs string

// Describe tells how arguments are written.
func (KernelArgs) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `[^ \t\n\r]`, Except: `[\n\r\x00]`}
}

// Validate checks that the text can be kernel arguments.
func (a *KernelArgs) Validate(at *config.At) {
	switch {
	case strings.TrimSpace(string(*a)) == "":
		at.Errorf("the item is empty").Hint("remove it, or write an argument")
	case strings.ContainsAny(string(*a), "\n\r\x00"):
		at.Errorf("kernel arguments hold no line break and no null byte").Hint("make each line an item of its own")
	case !at.FormOnly():
		if _, err := kargs.Split(string(*a)); err != nil {
			at.Errorf("%q: %v", string(*a), err)
		}
	}
}

// Used tells whether there are some.
func (k KernelCommandLine) Used() bool { return len(k.Extra) > 0 }

// Touches is the file from which boot entries are made.
func (KernelCommandLine) Touches() []feature.Touch {
	return []feature.Touch{{Path: feature.GRUBDefaults}}
}

// Plan is nothing: arguments of several sections are added together.
func (KernelCommandLine) Plan(*feature.Given) (plan.Plan, []plan.Problem) { return nil, nil }

// Record is the list.
func (k KernelCommandLine) Record() (any, error) {
	return feature.RecordIf(k.Used(), map[string]any{"extraCommandLine": k.Extra})
}

// PlanKernelArgs adds what sections ask for, unless the boot loader is set up anew with them.
func PlanKernelArgs(g *feature.Given) (plan.Plan, []plan.Problem) {
	args := slices.Concat(g.SELinux.Args(), g.Args)
	switch why := g.Facts.Boot.Unsupported(); {
	case g.Reset || len(args) == 0:
		return nil, nil
	case why != "":
		return nil, []plan.Problem{{Step: "kernel-arguments", Text: "kernel arguments cannot be added: " + why}}
	}
	return plan.Plan{AddKernelArgs{args, g.SELinux.Names(), g.Facts.Boot}}, nil
}

// AddKernelArgs adds arguments to every boot entry.
type AddKernelArgs struct {
	Args   []string
	Drop   []string // names of arguments that go
	Scheme boot.Scheme
}

// Name identifies the step.
func (AddKernelArgs) Name() string { return "kernel-arguments" }

// Stage is the part of the run that it belongs to.
func (AddKernelArgs) Stage() plan.Stage { return plan.Boot }

func (s AddKernelArgs) String() string {
	return fmt.Sprintf("add kernel arguments %s (%s)", strings.Join(s.Args, " "), s.Scheme)
}

// Run edits the boot configuration, has the image make what is generated from it, and looks whether
// every boot entry has the arguments.
func (s AddKernelArgs) Run(ctx context.Context, m *machine.Machine) error {
	return bootTarget(m).Apply(ctx, s.Scheme, boot.Change{Add: s.Args, Drop: s.Drop})
}

// Replaces lists the configuration of the boot loader.
func (s AddKernelArgs) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("os.kernelCommandLine", ConfigFiles(m, s.Scheme)...)
}

// ConfigFiles are what kernel arguments are written to.
func ConfigFiles(m *machine.Machine, s boot.Scheme) []string {
	files := []string{s.Config}
	switch s.Kind {
	case boot.BLS, boot.Systemd:
		entries, _ := m.Root.ReadDir(s.Entries)
		for _, e := range entries {
			files = append(files, path.Join(s.Entries, e.Name()))
		}
		files = append(files, feature.GRUBDefaults, "/etc/kernel/cmdline")
	case boot.Mkconfig:
		files = append(files, feature.GRUBDefaults)
	}
	return feature.Present(m, files...)
}

// SplitArgs are validated arguments, one by one.
func SplitArgs(items []KernelArgs) (args []string) {
	for _, i := range items {
		more, _ := kargs.Split(string(i)) // validated
		args = append(args, more...)
	}
	return args
}

// Flags add arguments.
func (KernelCommandLine) Flags() []feature.Flag {
	return []feature.Flag{{Name: "append-kernel-args", Value: "ARGUMENTS", Help: "Add arguments to the kernel's, separated by spaces.", Says: func(v string) ([]feature.Said, error) {
		return feature.Say("os.kernelCommandLine.extraCommandLine", []any{v})
	}}}
}
