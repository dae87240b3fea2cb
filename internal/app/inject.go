package app

import (
	"cmp"
	"context"

	"imagecustomizer/internal/artifact"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/seed"
	"imagecustomizer/internal/ui"
)

// InjectOptions are the flags of the inject-files command.
type InjectOptions struct {
	ConfigFile       string
	ImageFile        string
	BuildDir         string
	OutputFile       string // empty for the image's own, which is replaced
	OutputFormat     string // empty for that of the image
	COSILevel        int
	AllowBackingFile bool
	Checksum         bool
	Root             RootChoice
}

// InjectFiles puts files, such as signed boot loaders, into an image. The result takes the place of the image, or of
// another file, when it is complete and was looked at.
func InjectFiles(ctx context.Context, o InjectOptions, screen *ui.UI) error {
	o.BuildDir = scratchFolder(o.BuildDir)
	doc, report, list, err := readInjections(o.ConfigFile, screen)
	if err != nil {
		return err
	}
	format, err := probeImage(ctx, o.ImageFile, o.AllowBackingFile)
	if err != nil {
		return err
	}
	before, err := witnessOf(o.ImageFile)
	if err != nil {
		return err
	}
	j, err := o.job(list, format)
	if err != nil {
		return err
	}
	space, err := checkSpace(ctx, o.ImageFile, format, func(data int64) shares { return sharesOf(data, o.BuildDir, j) })
	if err != nil {
		return err
	}
	files, err := openFiles(CustomizeOptions{BuildDir: o.BuildDir}, j)
	if err != nil {
		return err
	}
	defer files.discard()
	res, err := runWorker(ctx, j, screen.Handle)
	if res != nil && len(res.Problems) > 0 {
		refuse(res.Failure, report, doc.Place, res.Problems)
	}
	if err != nil {
		return space.explain(err)
	}
	if err := before.unchanged(); err != nil {
		return err
	}
	return space.explain(publish(ctx, j.Outputs, screen, nil))
}

// readInjections reads a list such as inject-files.yaml.
func readInjections(file string, screen *ui.UI) (*config.Document, *config.Report, []artifact.Injection, error) {
	doc, report := config.ReadFile(file)
	var c artifact.Config
	doc.Decode(&c, config.Options{CheckFiles: true})
	if len(report.Problems()) > 0 {
		screen.Problems(report.Render)
	}
	if err := report.Err(); err != nil {
		return nil, nil, nil, &failure.Failure{Shown: true, Code: failure.Config, Err: err}
	}
	return doc, report, c.InjectFiles, nil
}

// job is what the worker is to do.
func (o InjectOptions) job(list []artifact.Injection, format diskformat.Image) (*job.Job, error) {
	var bad usage
	bad.check(checkBuildTime())
	in := inputs{}
	for _, f := range list {
		in.add("a file to put into the image", f.Source.Resolved)
	}
	in.add("the list of files", o.ConfigFile)
	if o.OutputFile != "" && unaliased(abs(o.OutputFile)) != unaliased(abs(o.ImageFile)) {
		in.add("the image", o.ImageFile) // of which a new name for itself would make two
	}
	name := o.OutputFormat
	if name == "" {
		name = format.Name // not what the name says: a fixed VHD stays one
	}
	targets := parseTargets(cmp.Or(o.OutputFile, o.ImageFile), name, nil, &bad)
	for _, t := range targets {
		t.Checksum = o.Checksum
		if t.Format.Live {
			bad.add("--output-image-format %s: a live medium is made by \"imagecustomizer customize\"", t.Format)
		}
	}
	setLevel(targets, o.COSILevel, 0, &bad)
	checkTargets(targets, in, false, &bad)
	j := &job.Job{
		Kind: job.Inject, Image: job.Image{Path: abs(o.ImageFile), Format: format, Root: o.Root},
		Files: list, Outputs: targets, Version: Version, Now: buildTime(), Seed: seed.New(""),
	}
	for _, f := range list {
		j.Show(job.Read, f.Source.Resolved)
	}
	return j, bad.err()
}
