package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/extent"
	"imagecustomizer/internal/feature/history"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/sandbox"
)

// checkOutputs looks for outputs that the image's partition table does not allow.
func (w *worker) checkOutputs() (problems []plan.Problem) {
	if w.shrinksDisk() && w.machine.Opened().Table.Kind != "gpt" {
		problems = append(problems, plan.Problem{
			Step: "storage.shrink", Text: "only a disk with a GPT can be shrunk, but the image has an MBR",
			Hint: "remove storage.shrink, or give the image a new disk with storage.disks",
		})
	}
	for _, o := range w.job.Outputs {
		if o.Shrunk && w.machine.Opened().Table.Kind != "gpt" {
			problems = append(problems, plan.Problem{
				Step: "output." + cmp.Or(o.Format.Name, string(o.Split)), Text: "partitions can be shrunk, and described in a COSI, on a disk with a GPT only, but the image has an MBR",
				Hint: "write another format, or give the image a new disk with storage.disks",
			})
			break // one of many partitions
		}
	}
	return problems
}

// checkFormats looks for outputs that cannot hold the disk as it will be.
func (w *worker) checkFormats(size int64) (problems []plan.Problem) {
	if w.shrinksDisk() {
		size = (size + 1<<20 - 1) >> 20 << 20 // at most, and whole MiB then
	}
	for _, o := range w.job.Outputs {
		f := o.Format
		if (f.Live || f.InParts()) && w.machine.Facts.Foreign {
			problems = append(problems, plan.Problem{Step: o.Step(), Text: "the format takes programs of the image: " + w.machine.Facts.WhyForeign()})
		}
		if !o.OfDisk() || f.Live || f.InParts() {
			continue
		}
		if err := f.Accepts(size, w.machine.Opened().Table.SectorSize); err != nil {
			problems = append(problems, plan.Problem{Step: o.Step(), Text: err.Error()})
		}
	}
	return problems
}

// inspect collects what a COSI says of the system, while it is mounted.
func (w *worker) inspect(ctx context.Context) (err error) {
	id := w.job.Seed.UUID("image")
	if w.job.Kind == job.Convert {
		id = cmp.Or(history.ReleaseUUID(w.machine.Root), id)
	}
	w.system, err = output.Inspect(ctx, w.machine, w.machine.Opened().Mounts, id)
	return err
}

// inParts tells whether the output is a COSI of some kind.
func inParts(o *job.Output) bool { return o.Format.InParts() }

// writing are the steps that write the outputs, side by side; those that shrink the filesystems of the disk come after
// those of the disk as it is. The disk will have partitions of these numbers.
func (w *worker) writing(partitions []int) (list plan.Plan) {
	late := slices.ContainsFunc(w.job.Outputs, func(o *job.Output) bool { return o.Shrunk }) && !w.shrinksEarly()
	for _, shrunk := range []bool{false, true} {
		if shrunk && late {
			list = append(list, plan.Task(plan.Seal, "shrink", "shrink the filesystems", w.shrinkLate))
		}
		if lanes := w.lanes(partitions, shrunk); len(lanes) > 0 {
			list = append(list, lanes)
		}
	}
	list = append(list, plan.Task(plan.Check, "written", "look whether the disk kept all that was written to it", w.checkWritten))
	if i := slices.IndexFunc(w.job.Outputs, (*job.Output).InPlace); i >= 0 && !w.job.Outputs[i].Format.IsRaw() {
		o := w.job.Outputs[i]
		list = append(list, plan.Task(plan.Output, o.Step(), "write "+o.Format.Name, func(ctx context.Context) error { return w.become(ctx, o) }))
	}
	return list
}

// checkWritten looks at the working disk, of which the outputs are copies.
func (w *worker) checkWritten(context.Context) error {
	return errors.Join(disk.CheckWritten(w.machine.Disk), disk.CheckWritten(w.job.Working()))
}

// read reads the finished disk as outputs are made from it.
func (w *worker) read() (err error) {
	w.parts, err = output.ReadParts(extent.View{File: w.machine.Disk, Where: w.where}, w.system)
	return err
}

// format is that of an output, which gets identifiers of the seed and the time of the run.
func (w *worker) format(o *job.Output) diskformat.Format {
	return o.Format.As(diskformat.Identity{At: w.job.Now, UUID: w.job.Seed.UUID})
}

// become turns the working disk into the output that was not copied from it.
func (w *worker) become(ctx context.Context, o *job.Output) error {
	file := w.machine.Disk
	err := output.Become(ctx, w.format(o), file, w.parts.Size, progress(o.Step(), w.send.Event))
	return errors.Join(err, disk.CheckWritten(file))
}

// lanes are what is written side by side: each output of the whole disk, and the partitions one after the other, each
// with all processors.
func (w *worker) lanes(partitions []int, shrunk bool) (lanes plan.Lanes) {
	var split plan.Plan
	for _, o := range w.job.Outputs {
		switch {
		case o.InPlace() || o.Format.Live || o.Seed || o.Shrunk != shrunk:
		case o.Split == "":
			lanes = append(lanes, plan.Plan{plan.Task(plan.Output, o.Step(), "write "+o.Format.Name, func(ctx context.Context) error { return w.writeOne(ctx, o) })})
		case slices.Contains(partitions, o.Partition):
			split = append(split, plan.Task(plan.Output, o.Step(), fmt.Sprintf("write partition %d as %s", o.Partition, o.Split), func(ctx context.Context) error { return w.writePart(ctx, o) }))
		default:
			w.result.Unwritten = append(w.result.Unwritten, o.Path)
		}
	}
	if len(split) > 0 {
		lanes = append(lanes, split)
	}
	return lanes
}

// writeOne writes an output of the whole disk.
func (w *worker) writeOne(ctx context.Context, o *job.Output) error {
	format, report, to := w.format(o), progress(o.Step(), w.send.Event), w.job.File(o.Resource)
	if format.InParts() {
		return output.NewCOSI(format, o.Path, o.Level, w.job.Now).Write(ctx, w.parts, to, report)
	}
	return output.Write(ctx, format, diskformat.Raw(sandbox.Path(w.parts.File), w.parts.Size), sandbox.Path(to), report)
}

// writePart writes a partition.
func (w *worker) writePart(ctx context.Context, o *job.Output) error {
	n := slices.IndexFunc(w.parts.Table.Partitions, func(p disk.Partition) bool { return p.Number == o.Partition })
	if n < 0 {
		return fmt.Errorf("the finished disk has no partition %d", o.Partition)
	}
	return o.Split.Write(ctx, w.parts.View, w.parts.Table.Partitions[n], w.job.File(o.Resource), progress(o.Step(), w.send.Event))
}
