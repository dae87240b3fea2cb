package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

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

// write writes the outputs side by side; those that shrink the filesystems of the disk come after
// those of the disk as it is.
func (w *worker) write(ctx context.Context, file *os.File) error {
	parts, err := output.ReadParts(w.source(file), w.system)
	if err != nil {
		return err
	}
	if err := w.writeAll(ctx, parts, false); err != nil {
		return err
	}
	if slices.ContainsFunc(w.job.Outputs, func(o *job.Output) bool { return o.Shrunk }) && !w.shrinksEarly() {
		if parts, err = w.shrinkLate(ctx, file); err != nil {
			return err
		}
	}
	if err := w.writeAll(ctx, parts, true); err != nil {
		return err
	}
	if err := errors.Join(disk.CheckWritten(file), disk.CheckWritten(w.job.Working())); err != nil { // of which the outputs are copies
		return err
	}
	return w.become(ctx, file, parts.Size)
}

// format is that of an output, which gets identifiers of the seed and the time of the run.
func (w *worker) format(o *job.Output) diskformat.Format {
	return o.Format.As(diskformat.Identity{At: w.job.Now, UUID: w.job.Seed.UUID})
}

// become turns the working disk into the output that was not copied from it, if there is one.
func (w *worker) become(ctx context.Context, file *os.File, size int64) error {
	i := slices.IndexFunc(w.job.Outputs, (*job.Output).InPlace)
	if i < 0 {
		return nil
	}
	format, name := w.format(w.job.Outputs[i]), w.job.Outputs[i].Step()
	if format.IsRaw() {
		return nil
	}
	err := w.phase(ctx, name, "write "+format.Name, func(ctx context.Context) error {
		return output.Become(ctx, format, file, size, progress(name, w.send.Event))
	})
	return errors.Join(err, disk.CheckWritten(file))
}

// source is the file of the working disk as outputs are made from it.
func (w *worker) source(file *os.File) extent.View {
	return extent.View{File: file, Where: w.where}
}

func (w *worker) writeAll(ctx context.Context, parts *output.Parts, shrunk bool) error {
	var wg sync.WaitGroup
	errs := make([]error, len(w.job.Outputs))
	for i, o := range w.job.Outputs {
		if o.InPlace() || o.Format.Live || !o.OfDisk() || o.Shrunk != shrunk {
			continue
		}
		wg.Go(func() { errs[i] = w.writeOne(ctx, o, parts) })
	}
	err := w.writeSplit(ctx, parts, shrunk)
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

// writeOne writes an output of the whole disk.
func (w *worker) writeOne(ctx context.Context, o *job.Output, parts *output.Parts) error {
	format, name := w.format(o), o.Step()
	return w.phase(ctx, name, "write "+format.Name, func(ctx context.Context) error {
		report, to := progress(name, w.send.Event), w.job.File(o.Resource)
		if format.InParts() {
			return output.NewCOSI(format, o.Path, o.Level, w.job.Now).Write(ctx, parts, to, report)
		}
		return output.Write(ctx, format, diskformat.Raw(sandbox.Path(parts.File), parts.Size), sandbox.Path(to), report)
	})
}

// writeSplit writes the partitions one after the other, each with all processors.
func (w *worker) writeSplit(ctx context.Context, parts *output.Parts, shrunk bool) error {
	for _, o := range w.job.Outputs {
		if o.Split == "" || o.Shrunk != shrunk {
			continue
		}
		n := slices.IndexFunc(parts.Table.Partitions, func(p disk.Partition) bool { return p.Number == o.Partition })
		if n < 0 {
			w.result.Unwritten = append(w.result.Unwritten, o.Resource)
			continue
		}
		name := o.Step()
		err := w.phase(ctx, name, fmt.Sprintf("write partition %d as %s", o.Partition, o.Split), func(ctx context.Context) error {
			return o.Split.Write(ctx, parts.View, parts.Table.Partitions[n], w.job.File(o.Resource), progress(name, w.send.Event))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
