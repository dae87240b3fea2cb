package app

import (
	"context"

	"imagecustomizer/internal/engine"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/ui"
)

// ConvertOptions are the flags of the convert command.
type ConvertOptions struct {
	ImageFile        string
	OutputFile       string
	OutputFormat     string
	Outputs          []string // FORMAT=PATH
	AllowBackingFile bool
	Checksum         bool
}

// Convert writes an image in other formats without changing its content. It needs no root: nothing
// is mounted, and programs end with this process.
func Convert(ctx context.Context, o ConvertOptions, screen *ui.UI) error {
	var bad usage
	bad.check(regularFile("image", o.ImageFile))
	targets := parseTargets(o.OutputFile, o.OutputFormat, o.Outputs, &bad)
	checkTargets(targets, o.ImageFile, &bad)
	for _, t := range targets {
		if t.format.Live {
			bad.add("--output %s: a live medium is made by \"imagecustomizer customize\", from an image and a config, which may be empty", t.format)
		}
	}
	if len(targets) == 0 && len(bad) == 0 {
		bad.add("no output: give --output-image-file and --output-image-format, or --output FORMAT=PATH")
	}
	if err := bad.err(); err != nil {
		return err
	}
	format, err := image.Probe(ctx, o.ImageFile, o.AllowBackingFile)
	if err != nil {
		return err
	}
	for _, t := range targets {
		t.checksum = o.Checksum
		if err := convertTo(ctx, o.ImageFile, format, t, screen); err != nil {
			return err
		}
	}
	return nil
}

// convertTo writes one output.
func convertTo(ctx context.Context, src string, format image.Format, t target, screen *ui.UI) error {
	p, err := output.Create(t.path, src)
	if err != nil {
		return err
	}
	defer p.Discard()
	f := &files{pending: []*output.Pending{p}}
	if err := engine.Phase(ctx, "convert", "convert to "+t.format.Name, screen.Handle, func(ctx context.Context) error {
		return output.WriteFrom(ctx, t.format, format.QEMU(src), format.Size, p, progress("convert", screen.Handle))
	}); err != nil {
		return err
	}
	return f.publish(ctx, []target{t}, screen)
}

// progress reports bytes of a long copy.
func progress(step string, report func(ui.Event)) func(done, total int64) {
	return func(done, total int64) { report(ui.Event{Kind: ui.Progress, Step: step, Done: done, Total: total}) }
}
