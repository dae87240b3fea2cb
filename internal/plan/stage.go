package plan

import (
	"context"

	"imagecustomizer/internal/machine"
)

// Stage is the part of a run that a step belongs to.
type Stage string

// The stages, in their order, but for checks: those stand where there is something to look at.
const (
	Input  Stage = "input"  // the base image is read and opened
	Disk   Stage = "disk"   // partitions and filesystems are made or changed
	System Stage = "system" // what is installed in the image is changed
	Boot   Stage = "boot"   // the same of what boots it
	Seal   Stage = "seal"   // nothing of the image runs any more; the disk is finished
	Check  Stage = "check"  // something is only looked at
	Output Stage = "output" // files are written, and get their names
)

// StageOf is the stage of a step. A step that does not say belongs to the system.
func StageOf(s Step) Stage {
	if s, ok := s.(interface{ Stage() Stage }); ok {
		return s.Stage()
	}
	return System
}

// task is a step that no section of a config has.
type task struct {
	stage      Stage
	name, what string
	run        func(context.Context) error
}

// Task is a step that no section of a config has, such as the reading of the base image.
func Task(stage Stage, name, what string, run func(context.Context) error) Step {
	return task{stage, name, what, run}
}

// Stage is what the task was made with.
func (t task) Stage() Stage { return t.stage }

// Name identifies the step.
func (t task) Name() string { return t.name }

func (t task) String() string { return t.what }

// Run carries the step out.
func (t task) Run(ctx context.Context, _ *machine.Machine) error { return t.run(ctx) }

// Lanes are plans that are carried out side by side. They stand in a plan as one step, and are reported and shown as
// those that they consist of.
type Lanes []Plan

// Name identifies them.
func (Lanes) Name() string { return "lanes" }

func (Lanes) String() string { return "side by side" }

// Run is not called: the engine starts the lanes.
func (Lanes) Run(context.Context, *machine.Machine) error { panic("lanes are run by the engine") }

// Steps are all steps of a plan, those of lanes one lane after the other.
func (p Plan) Steps() (list []Step) {
	for _, s := range p {
		lanes, ok := s.(Lanes)
		if !ok {
			list = append(list, s)
		}
		for _, l := range lanes {
			list = append(list, l.Steps()...)
		}
	}
	return list
}
