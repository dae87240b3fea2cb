package storage

import (
	"context"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// PlanLowSpace looks at the end of every run.
func PlanLowSpace(*feature.Given) (plan.Plan, []plan.Problem) { return plan.Plan{WarnLowSpace{}}, nil }

// WarnLowSpace warns of filesystems that are nearly full.
type WarnLowSpace struct{}

// Thresholds below which a filesystem is called nearly full; both must be undercut.
const (
	lowPercent = 5
	lowBytes   = 500 << 20
)

// Name identifies the step.
func (WarnLowSpace) Name() string { return "check.space" }

// Stage is the part of the run that it belongs to.
func (WarnLowSpace) Stage() plan.Stage { return plan.Check }

func (WarnLowSpace) String() string { return "look for filesystems that are nearly full" }

// Run warns; a full filesystem is no failure.
func (WarnLowSpace) Run(_ context.Context, m *machine.Machine) error {
	for _, fs := range m.Facts.Filesystems {
		size, free, err := m.Space(fs.MountPoint)
		if err != nil {
			return err
		}
		if free < lowBytes && free*100 < size*lowPercent {
			m.Log.Warn("filesystem is nearly full", "mount", fs.MountPoint, "freeMiB", free>>20, "sizeMiB", size>>20)
		}
	}
	return nil
}
