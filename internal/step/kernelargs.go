package step

import (
	"context"
	"fmt"
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

func planKernelArgs(c *Config, f *machine.Facts) (plan.Plan, []plan.Problem) {
	args, drop := c.OS.SELinux.Mode.args(), c.OS.SELinux.Mode.names()
	for _, e := range c.OS.KernelCommandLine.Extra {
		more, err := kargs.Split(string(e))
		if err != nil {
			return nil, []plan.Problem{{Step: "kernel-arguments", Text: err.Error()}}
		}
		args = append(args, more...)
	}
	if len(args) == 0 {
		return nil, nil
	}
	if why := f.Boot.Unsupported(); why != "" {
		return nil, []plan.Problem{{Step: "kernel-arguments", Text: "kernel arguments cannot be added: " + why}}
	}
	return plan.Plan{AddKernelArgs{args, drop, f.Boot}}, nil
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
