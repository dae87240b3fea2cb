package step

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/config"
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
func (KernelCommandLine) Touches() []Touch { return []Touch{{Path: grubDefault}} }

// Plan is nothing: arguments of several sections are added together.
func (KernelCommandLine) Plan(*Given) (plan.Plan, []plan.Problem) { return nil, nil }

// Record is the list.
func (k KernelCommandLine) Record() (any, error) {
	return recordIf(k.Used(), map[string]any{"extraCommandLine": k.Extra})
}

// planKernelArgs adds what sections ask for, unless the boot loader is set up anew with them.
func planKernelArgs(g *Given) (plan.Plan, []plan.Problem) {
	args := slices.Concat(g.SELinux.args(), g.Args)
	switch why := g.Facts.Boot.Unsupported(); {
	case g.Reset || len(args) == 0:
		return nil, nil
	case why != "":
		return nil, []plan.Problem{{Step: "kernel-arguments", Text: "kernel arguments cannot be added: " + why}}
	}
	return plan.Plan{AddKernelArgs{args, g.SELinux.names(), g.Facts.Boot}}, nil
}

// AddKernelArgs adds arguments to every boot entry.
type AddKernelArgs struct {
	Args   []string
	Drop   []string // names of arguments that go
	Scheme boot.Scheme
}

// Name identifies the step.
func (AddKernelArgs) Name() string { return "kernel-arguments" }

func (s AddKernelArgs) String() string {
	return fmt.Sprintf("add kernel arguments %s (%s)", strings.Join(s.Args, " "), s.Scheme)
}

// Run edits the boot configuration, has the image make what is generated from it, and looks whether
// every boot entry has the arguments.
func (s AddKernelArgs) Run(ctx context.Context, m *machine.Machine) error {
	return bootTarget(m).Apply(ctx, s.Scheme, boot.Change{Add: s.Args, Drop: s.Drop})
}
