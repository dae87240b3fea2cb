package booting

import (
	"context"
	"fmt"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// PlanCheckKernel looks at the end of every run.
func PlanCheckKernel(*feature.Given) (plan.Plan, []plan.Problem) {
	return plan.Plan{CheckKernel{}}, nil
}

// CheckKernel fails a run that has left the image without a kernel's modules.
type CheckKernel struct{}

// Name identifies the step.
func (CheckKernel) Name() string { return "check.kernel" }

// Stage is the part of the run that it belongs to.
func (CheckKernel) Stage() plan.Stage { return plan.Check }

func (CheckKernel) String() string { return "check that the image still has a kernel" }

// Run looks for a version's folder of modules with something in it.
func (CheckKernel) Run(_ context.Context, m *machine.Machine) error {
	versions, err := m.Root.ReadDir("/lib/modules")
	if err != nil {
		return fmt.Errorf("the image has no kernel modules any more: %w", err)
	}
	for _, v := range versions {
		if files, err := m.Root.ReadDir("/lib/modules/" + v.Name()); err == nil && len(files) > 0 {
			return nil
		}
	}
	return fmt.Errorf("/lib/modules of the image is empty: it would not boot; was the kernel's package removed?")
}
