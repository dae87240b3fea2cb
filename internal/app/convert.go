package app

import (
	"context"
	"errors"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/engine"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/seed"
	"imagecustomizer/internal/ui"
)

// ConvertOptions are the flags of the convert command.
type ConvertOptions struct {
	ImageFile        string
	OutputFile       string
	OutputFormat     string
	Outputs          []string // FORMAT=PATH
	BuildDir         string   // for the formats made of partitions
	COSILevel        int
	AllowBackingFile bool
	Checksum         bool
	NoClobber        bool // an older file of an output's name is never replaced
	Root             RootChoice
}

// Convert writes an image in other formats without changing its content. But for the formats made of
// partitions it needs no root: nothing is mounted, and programs end with this process.
func Convert(ctx context.Context, o ConvertOptions, screen *ui.UI) error {
	var bad usage
	bad.check(checkBuildTime())
	bad.check(regularFile("image", o.ImageFile))
	targets := parseTargets(o.OutputFile, o.OutputFormat, o.Outputs, &bad)
	in := inputs{}
	in.add("the image", o.ImageFile)
	for _, t := range targets {
		t.Checksum, t.Keep = o.Checksum, o.NoClobber
	}
	checkTargets(targets, in, o.NoClobber, &bad)
	for _, t := range targets {
		if t.Format.Live {
			bad.add("--output %s: a live medium is made by \"imagecustomizer customize\", from an image and a config, which may be empty", t.Format)
		}
	}
	setLevel(targets, o.COSILevel, 0, &bad)
	parts, whole := byKind(targets)
	o.BuildDir = scratchFolder(o.BuildDir)
	if len(targets) == 0 && len(bad) == 0 {
		bad.add("no output: give --output-image-file and --output-image-format, or --output FORMAT=PATH")
	}
	if err := bad.err(); err != nil {
		return err
	}
	before, err := witnessOf(o.ImageFile)
	if err != nil {
		return err
	}
	format, err := diskformat.Probe(ctx, o.ImageFile, o.AllowBackingFile)
	if err != nil {
		return err
	}
	if err := checkDisk(ctx, o.ImageFile, format, whole); err != nil {
		return err
	}
	space, err := o.checkSpace(ctx, format, parts, whole)
	if err != nil {
		return err
	}
	return space.explain(o.convert(ctx, before, format, parts, whole, screen))
}

// checkDisk looks for outputs that cannot hold the disk.
func checkDisk(ctx context.Context, path string, format diskformat.Image, targets []*job.Output) error {
	var bad usage
	for _, t := range targets {
		bad.check(t.Format.AcceptsDisk(ctx, diskformat.Source{Path: path, Image: format}))
	}
	return bad.err()
}

// checkSpace looks whether the outputs fit. The working disk that some are made from is gone before the
// others are written.
func (o ConvertOptions) checkSpace(ctx context.Context, format diskformat.Image, parts, whole []*job.Output) (shares, error) {
	if len(parts) > 0 {
		if _, err := checkSpace(ctx, o.ImageFile, format, func(data int64) shares {
			disk := share{"the working disk", o.BuildDir, data}
			if onBase(format, parts) {
				disk.bytes = min(data, changes)
			}
			return append(outputShares(parts, data), disk)
		}); err != nil {
			return nil, err
		}
	}
	return checkSpace(ctx, o.ImageFile, format, func(data int64) shares { return outputShares(append(parts, whole...), data) })
}

// convert writes the outputs.
func (o ConvertOptions) convert(ctx context.Context, before witness, format diskformat.Image, parts, whole []*job.Output, screen *ui.UI) error {
	if len(parts) > 0 {
		if err := o.convertParts(ctx, before, format, parts, screen); err != nil {
			return err
		}
	}
	for _, t := range whole {
		if err := convertTo(ctx, before, format, t, screen); err != nil {
			return err
		}
	}
	return nil
}

// byKind parts the outputs into those made of partitions and those of the disk as a whole.
func byKind(targets []*job.Output) (parts, whole []*job.Output) {
	for _, t := range targets {
		if t.Format.InParts() {
			parts = append(parts, t)
		} else {
			whole = append(whole, t)
		}
	}
	return parts, whole
}

// convertParts writes the outputs that are made of partitions. A worker looks into the image for what
// is to be said of it, and works on a copy, whose filesystems it shrinks.
func (o ConvertOptions) convertParts(ctx context.Context, before witness, format diskformat.Image, targets []*job.Output, screen *ui.UI) error {
	j := &job.Job{
		Kind: job.Convert, Image: job.Image{Path: abs(o.ImageFile), Format: format, Root: o.Root},
		Outputs: targets, Version: Version, Now: buildTime(), Seed: seed.New(""),
	}
	files, err := openFiles(CustomizeOptions{BuildDir: o.BuildDir}, j)
	if err != nil {
		return err
	}
	defer files.discard()
	if _, err := runWorker(ctx, j, screen.Handle); err != nil {
		return err
	}
	if err := before.unchanged(); err != nil {
		return err
	}
	return publish(ctx, j.Outputs, screen, nil)
}

// convert is the worker's part of converting into formats made of partitions.
func (w *worker) convert(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, w.leave()) }()
	if err := w.loadWorking(ctx, w.copyDisk, image.Open); err != nil {
		return err
	}
	m := w.machine
	for _, p := range append(w.checkOutputs(), w.checkFormats(m.Facts.DiskSize)...) {
		return &failure.Failure{Code: failure.Failed, Step: p.Step, Err: errors.New(p.Text), Hint: p.Hint}
	}
	for _, s := range m.Opened().Sealed {
		w.noteVerity(s)
	}
	finish := plan.Plan{
		plan.Task(plan.Output, "describe", "list packages and boot entries for the output", w.inspect),
		plan.Task(plan.Seal, "trim", "trim the filesystems", func(context.Context) error { return m.Opened().Trim() }),
		plan.Task(plan.Seal, "close", "unmount the filesystems", w.unmount),
		plan.Task(plan.Seal, "shrink", "shrink the filesystems", w.shrink), // all that is written is of the shrunk disk
		plan.Task(plan.Check, "check", "check the filesystems", w.checkDisk),
		plan.Task(plan.Seal, "detach", "detach the disk", w.detach),
	}
	return w.run(ctx, append(finish, w.writing(nil)...)...)
}

// convertTo writes one output.
func convertTo(ctx context.Context, before witness, format diskformat.Image, t *job.Output, screen *ui.UI) error {
	if err := t.Create(); err != nil {
		return err
	}
	defer t.Pending.Discard()
	write := plan.Task(plan.Output, "convert", "convert to "+t.Format.Name, func(ctx context.Context) error {
		report := progress("convert", screen.Handle)
		source := diskformat.Source{Path: before.path, Image: format}
		return output.WriteFrom(ctx, t.Format.As(diskformat.Identity{At: buildTime()}), source, t.Pending, report)
	})
	if err := (engine.Runner{Report: screen.Handle}).Run(ctx, plan.Plan{write}); err != nil {
		return err
	}
	if err := before.unchanged(); err != nil {
		return err
	}
	return publish(ctx, []*job.Output{t}, screen, nil)
}

// progress reports bytes of a long copy.
func progress(step string, report func(ui.Event)) func(done, total int64) {
	return func(done, total int64) { report(ui.Event{Kind: ui.Progress, Step: step, Done: done, Total: total}) }
}
