// Package app is the main flow of each subcommand. Start reading here: Customize is the whole tool,
// as the unprivileged-minded supervisor sees it, and customize in worker.go is its other half.
package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/engine"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/printable"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/seed"
	"imagecustomizer/internal/step"
	"imagecustomizer/internal/tempfile"
	"imagecustomizer/internal/ui"
)

// Version is the program's version, set when it is built.
var Version = "unknown"

// CustomizeOptions are the flags of the customize command. Empty fields were not given.
type CustomizeOptions struct {
	BuildDir     string
	ConfigFile   string
	ImageFile    string
	OutputFile   string
	OutputFormat string
	Outputs      []string // FORMAT=PATH

	SplitFormat       string
	ShrinkFilesystems bool
	COSILevel         int

	RPMSources   []string
	DebSources   []string
	NoBaseRepos  bool
	PackageCache string

	AllowBackingFile bool
	Checksum         bool
	NoClobber        bool // an older file of an output's name is never replaced
	DryRun           bool
	Seed             string // of identifiers and salts; random where empty
	Root             RootChoice
}

// Customize changes a base image as the config says and writes the outputs: all of them, complete, or
// none. Everything that can be checked without root and without the image's content is checked
// first; then a worker in namespaces of its own does the rest.
func Customize(ctx context.Context, o CustomizeOptions, screen *ui.UI, stdout io.Writer) error {
	j, outputs, err := o.prepare(ctx, screen)
	if err != nil {
		return err
	}
	files, err := openFiles(o, j, outputs)
	if err != nil {
		return err
	}
	defer files.discard()
	files.assign(j, outputs)
	space, err := checkSpace(ctx, j.Image, j.Format, func(data int64) shares { return files.sharesOf(data, o, j, outputs) })
	if err != nil {
		return err
	}
	res, err := runWorker(ctx, j, files.spec(), screen.Handle)
	if err != nil {
		return space.explain(err)
	}
	if err := j.base.unchanged(); err != nil {
		return err
	}
	if o.DryRun {
		return printPlan(stdout, res.Plan)
	}
	files.drop(&files.scratch, &files.base) // publishing may take space
	return space.explain(files.publish(ctx, files.written(outputs, res.Unwritten), screen))
}

// prepare checks the command line, the config and the kind of the base image, and writes the job.
func (o CustomizeOptions) prepare(ctx context.Context, screen *ui.UI) (*job, []target, error) {
	files := &compose.Files{}
	cfg, err := loadConfig(o.ConfigFile, files, true, screen)
	if err != nil {
		return nil, nil, err
	}
	var bad usage
	base := o.baseImage(cfg, &bad)
	outputs := o.targets(cfg, base, &bad)
	bad.check(checkSources(o.RPMSources, o.DebSources))
	if err := bad.err(); err != nil {
		return nil, nil, err
	}
	before, err := witnessOf(base)
	if err != nil {
		return nil, nil, err
	}
	format, err := image.Probe(ctx, base, o.AllowBackingFile)
	if err != nil {
		return nil, nil, err
	}
	remake := format.Name == "iso" && onlyAdds(cfg, outputs)
	if format.Name == "iso" && !remake {
		if format.Size, err = liveos.UnpackedSize(ctx, base); err != nil {
			return nil, nil, err
		}
	}
	return &job{
		base:    before,
		named:   named(cfg),
		Remake:  remake,
		NewDisk: len(cfg.Storage.Disks) > 0,
		OnBase:  len(cfg.Storage.Disks) == 0 && onBase(format, outputs),
		Config:  files.List, ConfigFile: abs(o.ConfigFile), Image: base, Format: format, Root: o.Root,
		RPMSources: absolute(o.RPMSources), DebSources: absolute(o.DebSources), NoBaseRepo: o.NoBaseRepos, DryRun: o.DryRun,
		Now: buildTime(), Fixed: o.Seed != "" && os.Getenv("SOURCE_DATE_EPOCH") != "", Version: Version, Seed: seed.New(o.Seed), Installs: cfg.OS.Packages.Adds(),
	}, outputs, nil
}

// named lists the files and folders of the build host that a config names.
func named(cfg *step.Config) (list []string) {
	for _, p := range config.Paths(*cfg) {
		list = append(list, p.Resolved)
	}
	return list
}

// buildTime is now, or what SOURCE_DATE_EPOCH says (reproducible-builds.org), in UTC.
func buildTime() time.Time {
	if s, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(s, 0).UTC()
	}
	return time.Now().UTC()
}

// loadConfig reads and validates a config of either schema, with all files that it is made of. Warnings are
// shown; errors are the returned failure.
func loadConfig(file string, files *compose.Files, checkFiles bool, screen *ui.UI) (*step.Config, error) {
	r, err := compose.Load(file, files, compose.Options{CheckFiles: checkFiles})
	if err != nil {
		return nil, &Failure{Code: ExitConfig, Err: err}
	}
	report := r.Report
	ui.Redact(report.Secrets()...)
	if len(report.Problems()) > 0 {
		screen.Problems(report.Render)
	}
	if report.Failed() {
		return nil, &Shown{Failure{Code: ExitConfig, Err: report.Err()}}
	}
	return r.Config, nil
}

// files are what a run writes: none of them has a name until it is complete.
type files struct {
	disk    *os.File // working disk
	base    *os.File // disk of the base image, where the working disk is a new one
	scratch *os.File // backing of the worker's scratch filesystem
	pending []*output.Pending
	cache   string
}

func openFiles(o CustomizeOptions, j *job, targets []target) (*files, error) {
	f := &files{}
	if err := f.open(o, j, targets); err != nil {
		f.discard()
		return nil, err
	}
	return f, nil
}

func (f *files) open(o CustomizeOptions, j *job, targets []target) (err error) {
	if err := os.MkdirAll(o.BuildDir, 0o755); err != nil {
		return fmt.Errorf("cannot make the build folder: %w", err)
	}
	if f.cache, err = cacheFolder(o.PackageCache); err != nil {
		return err
	}
	if f.scratch, err = tempfile.Scratch(o.BuildDir); err != nil {
		return err
	}
	if j.NewDisk {
		if f.base, err = tempfile.Scratch(o.BuildDir); err != nil {
			return err
		}
	}
	if o.DryRun {
		targets = nil
	}
	for _, t := range targets {
		p, err := t.create()
		if err != nil {
			return err
		}
		f.pending = append(f.pending, p)
	}
	if f.disk = f.diskOf(targets); f.disk == nil {
		f.disk, err = tempfile.Scratch(o.BuildDir)
	}
	return err
}

// diskOf is the output that the working disk becomes when everything else is written, a raw one before
// others; nil where no output can be made so.
func (f *files) diskOf(targets []target) *os.File {
	if slices.ContainsFunc(targets, func(t target) bool { return t.shrunk }) {
		return nil
	}
	i := slices.IndexFunc(targets, func(t target) bool { return t.format.IsRaw() })
	for n := 0; i < 0 && n < len(targets); n++ {
		if targets[n].format.InPlace(f.pending[n].File()) {
			i = n
		}
	}
	if i < 0 {
		return nil
	}
	return f.pending[i].File()
}

// cacheFolder is where package downloads are kept between runs.
func cacheFolder(named string) (string, error) {
	if named == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no place for the package cache (see --package-cache-dir): %w", err)
		}
		named = filepath.Join(base, "imagecustomizer", "packages")
	}
	return named, os.MkdirAll(named, 0o755)
}

// assign tells the job which file is for which output.
func (f *files) assign(j *job, targets []target) {
	for i, t := range targets {
		n := fileFirstOutput + i
		if i < len(f.pending) && f.pending[i].File() == f.disk { // a dry run has no files
			n = fileDisk
		}
		j.Outputs = append(j.Outputs, jobOutput{
			Format: t.format.Name, File: n, Path: t.path, Level: t.level, Split: t.split, Partition: t.partition, Shrunk: t.shrunk,
		})
	}
	if f.base != nil {
		j.Base = fileFirstOutput + len(f.pending)
	}
}

func (f *files) spec() sandbox.Spec {
	s := sandbox.Spec{Files: []*os.File{f.disk, f.scratch}, Writable: map[string]string{"cache": f.cache}}
	for _, p := range f.pending {
		s.Files = append(s.Files, p.File())
	}
	if f.base != nil {
		s.Files = append(s.Files, f.base)
	}
	return s
}

// written forgets the files that the worker had nothing to write into, and returns the targets of the
// others.
func (f *files) written(targets []target, unwritten []int) (list []target) {
	var kept []*output.Pending
	for i, p := range f.pending {
		if slices.Contains(unwritten, i) {
			p.Discard()
			continue
		}
		kept, list = append(kept, p), append(list, targets[i])
	}
	f.pending = kept
	return list
}

// publish gives every output its name, now that all are complete.
func (f *files) publish(ctx context.Context, targets []target, screen *ui.UI) error {
	all := f.pending
	for i, p := range f.pending {
		if !targets[i].checksum || targets[i].format.Folder {
			continue
		}
		var sum *output.Pending
		what := "compute the checksum of " + filepath.Base(targets[i].path)
		if err := engine.Phase(ctx, "checksum", what, screen.Handle, func(ctx context.Context) (err error) {
			sum, err = output.Checksum(ctx, p, progress("checksum", screen.Handle))
			return err
		}); err != nil {
			return err
		}
		defer sum.Discard()
		all = append([]*output.Pending{sum}, all...) // whoever sees an image finds its sum there
	}
	if err := output.Publish(all...); err != nil {
		return err
	}
	for i, t := range targets {
		older := ""
		if f.pending[i].Replaces() {
			older = ", in place of an older file"
		}
		screen.Note("wrote %s (%s)%s", t.path, t, older)
	}
	return nil
}

func (f *files) discard() {
	for _, p := range f.pending {
		p.Discard()
	}
	f.drop(&f.disk, &f.scratch, &f.base)
}

// drop closes files that nobody needs any more, which frees their space.
func (f *files) drop(list ...**os.File) {
	for _, x := range list {
		if *x != nil {
			(*x).Close()
			*x = nil
		}
	}
}

func printPlan(w io.Writer, lines []planLine) error {
	for i, l := range lines {
		if _, err := fmt.Fprintf(w, "%3d. %-26s %s\n", i+1, l.Name, printable.Line(l.Text)); err != nil {
			return err
		}
	}
	return nil
}
