// Package app is the main flow of each subcommand. Start reading here: Customize is the whole tool,
// as the unprivileged-minded supervisor sees it, and customize in worker.go is its other half.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/engine"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/plan"
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
	Compose      compose.Options // profiles and variables
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

	AllowHostCommands bool // commands that the config names may run on the host

	Seed string // of identifiers and salts; random where empty
	Root RootChoice

	compose func() (*compose.Result, error) // in the place of ConfigFile and Compose
	inPlace *job.Output                     // the base image itself, and nothing else
	NoTest  bool                            // the outputs are not booted, whatever the config says
	Records Records
}

// test boots the outputs where the config asks for it.
func (o CustomizeOptions) test(ctx context.Context, t *tester, outputs []*job.Output) error {
	if o.NoTest || !t.spec.Used() {
		return nil
	}
	return t.outputs(ctx, outputs, o.Root)
}

// Customize changes a base image as the config says and writes the outputs: all of them, complete, or
// none. Everything that can be checked without root and without the image's content is checked
// first; then a worker in namespaces of its own does the rest.
func Customize(ctx context.Context, o CustomizeOptions, screen *ui.UI, stdout io.Writer) error {
	o.BuildDir = scratchFolder(o.BuildDir)
	j, composed, err := o.prepare(ctx, screen)
	if err != nil {
		return err
	}
	before, err := witnessOf(j.Image.Path)
	if err != nil {
		return err
	}
	if err := o.probe(ctx, j); err != nil {
		return err
	}
	files, err := openFiles(o, j)
	if err != nil {
		return err
	}
	defer files.discard()
	space, err := checkSpace(ctx, j.Image.Path, j.Image.Format, func(data int64) shares { return sharesOf(data, o.BuildDir, j) })
	if err != nil {
		return err
	}
	res, err := runWorker(ctx, j, screen.Handle)
	if res != nil && len(res.Problems) > 0 {
		var again error
		if composed, again = j.Parts.With(res.Facts, composed); again != nil {
			return errors.Join(err, again)
		}
		refuse(res.Failure, composed.Report, composed.Place, res.Problems)
	}
	if res != nil && res.Failure != nil {
		located(res.Failure, composed)
	}
	if err != nil {
		return space.explain(err)
	}
	if err := before.unchanged(); err != nil {
		return err
	}
	outputs := written(j.Outputs, res.Unwritten)
	if err := files.withoutKeys(ctx); err != nil {
		return err
	}
	if o.DryRun {
		return errors.Join(printPlan(stdout, append(res.Plan, o.after(composed.Config, outputs)...)), printOutputs(stdout, outputs))
	}
	files.drop(&files.scratch, &files.base) // publishing may take space
	t := tester{spec: &composed.Config.Test, screen: screen, stdout: stdout, dir: o.BuildDir, records: o.Records, version: res.Systemd}
	failed := o.test(ctx, &t, outputs)
	if failed != nil && (composed.Config.Test.Publish != "always" || ctx.Err() != nil) {
		return failed
	}
	if err := publish(ctx, outputs, screen, files.artifacts); err != nil {
		return errors.Join(failed, space.explain(err))
	}
	files.guard.report(screen)
	return failed
}

// after lists the steps that come when a worker has written the outputs.
func (o CustomizeOptions) after(c *step.Config, outputs []*job.Output) []job.Line {
	var t plan.Plan
	if !o.NoTest && c.Test.Used() {
		for _, o := range outputs {
			if bootable(o) {
				t = append(t, testStep(o.Path, nil))
			}
		}
	}
	p, _ := publishing(outputs, nil, nil)
	return linesOf(append(t, p...))
}

// prepare checks the command line and the config, and writes the job.
func (o CustomizeOptions) prepare(ctx context.Context, screen *ui.UI) (*job.Job, *compose.Result, error) {
	var files compose.Files
	o.Compose.CheckFiles = true
	composed, err := o.load(&files, screen)
	if err != nil {
		return nil, nil, err
	}
	composed, secrets, err := o.withSecrets(ctx, composed, &files, screen)
	if err != nil {
		return nil, nil, err
	}
	var bad usage
	cfg := composed.Config
	bad.check(checkBuildTime())
	base := o.baseImage(cfg, &bad)
	j := &job.Job{
		Kind: job.Customize, Config: cfg, ConfigDir: filepath.Dir(abs(o.ConfigFile)), Outputs: o.targets(cfg, base, &bad),
		RPMSources:  sources("--rpm-source", o.RPMSources, pkgmgr.AptFile, "a folder of RPM packages or a .repo file", &bad),
		DebSources:  sources("--deb-source", o.DebSources, pkgmgr.RepoFile, "a folder of .deb packages or a .list or .sources file", &bad),
		NoBaseRepos: o.NoBaseRepos, DryRun: o.DryRun, Now: buildTime(), Version: Version,
		Fixed: o.Seed != "" && os.Getenv("SOURCE_DATE_EPOCH") != "", Seed: seed.New(o.Seed), Secrets: secrets,
	}
	if !o.NoTest {
		bad.check(untestable(&cfg.Test, j.Outputs))
	}
	if a := cfg.Output.Artifacts; a.Used() {
		j.Artifacts = &job.Artifacts{Kinds: a.Items, Path: a.Path.Resolved}
	}
	j.Image = job.Image{Path: base, Root: o.Root}
	if composed.Waiting {
		j.Parts = &compose.Sources{Top: o.topConfig(), Files: files, Options: composed.Options}
	}
	if err := o.sign(j, composed, screen); err != nil {
		return nil, nil, err
	}
	j.Show(job.Read, named(append(composed.Maybe, j.Config)...)...)
	for _, s := range slices.Concat(j.RPMSources, j.DebSources) {
		j.Show(job.Read, s.Path)
	}
	for _, f := range files.List {
		if dir := filepath.Dir(f.Path); !sandbox.TooMuch(dir) {
			j.Show(job.Read, dir)
		}
	}
	return j, composed, bad.err()
}

// topConfig is how the worker, which may be in another folder, names the config file.
func (o CustomizeOptions) topConfig() string {
	if o.ConfigFile == compose.Stdin {
		return compose.Stdin
	}
	return abs(o.ConfigFile)
}

// probe finds out the kind of the base image, which decides what the job is.
func (o CustomizeOptions) probe(ctx context.Context, j *job.Job) (err error) {
	j.Image.Format, err = diskformat.Probe(ctx, j.Image.Path, o.AllowBackingFile)
	if err != nil || j.Image.Format.Name != "iso" {
		return err
	}
	if onlyAdds(j.Config, j.Outputs) {
		j.Kind = job.Remake
		return nil
	}
	j.Image.Format.Size, err = liveos.UnpackedSize(ctx, j.Image.Path)
	return err
}

// named lists the files and folders of the build host that a config names.
func named(configs ...*step.Config) (list []string) {
	for _, cfg := range configs {
		for _, p := range config.Paths(*cfg) {
			list = append(list, p.Resolved)
		}
	}
	return list
}

// checkBuildTime refuses a SOURCE_DATE_EPOCH that would not count.
func checkBuildTime() error {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if s, err := strconv.ParseInt(text, 10, 64); text != "" && (err != nil || s < 0 || s > lastSecond) {
		return fmt.Errorf("SOURCE_DATE_EPOCH is %q: write the seconds since 1970 in digits, such as 1700000000, or unset it", text)
	}
	return nil
}

// lastSecond is the last that every format and filesystem can write: FAT ends in 2107.
const lastSecond = 4354819199

// buildTime is now, or what SOURCE_DATE_EPOCH says (reproducible-builds.org), in UTC.
func buildTime() time.Time {
	if s, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(s, 0).UTC()
	}
	return time.Now().UTC()
}

// openedFiles are what a run has open besides its outputs. None of them has a name.
type openedFiles struct {
	disk    *os.File // working disk; nil where an output is
	base    *os.File // disk of the base image, where the working disk is a new one
	scratch *os.File // backing of the worker's scratch filesystem
	outputs []*job.Output

	artifacts *job.Artifacts // nil where there are none
	guard     *guard         // nil where nothing is signed
}

// openFiles makes the files that a job writes and hands them to it.
func openFiles(o CustomizeOptions, j *job.Job) (*openedFiles, error) {
	f := &openedFiles{outputs: j.Outputs}
	if err := f.open(o, j); err != nil {
		f.discard()
		return nil, err
	}
	return f, nil
}

func (f *openedFiles) open(o CustomizeOptions, j *job.Job) (err error) {
	if err := os.MkdirAll(o.BuildDir, 0o755); err != nil {
		return fmt.Errorf("cannot make the build folder: %w", err)
	}
	cache, err := cacheFolder(o.PackageCache)
	if err != nil {
		return err
	}
	j.Show(job.Read, j.Image.Path)
	j.Show(job.Cache, cache)
	if f.scratch, err = tempfile.Scratch(o.BuildDir); err != nil {
		return err
	}
	j.Hand(job.Scratch, f.scratch, "ext4")
	if err := f.openToSign(o.BuildDir, j); err != nil {
		return err
	}
	if j.NewDisk() {
		if f.base, err = tempfile.Scratch(o.BuildDir); err != nil {
			return err
		}
		j.Hand(job.Former, f.base, "raw")
	}
	return f.openOutputs(o, j)
}

// openOutputs makes the outputs, one of which the working disk becomes if that is possible, and the working disk.
func (f *openedFiles) openOutputs(o CustomizeOptions, j *job.Job) (err error) {
	if !j.DryRun {
		for _, t := range j.Outputs {
			if err := t.Create(); err != nil {
				return err
			}
		}
		if err := f.openArtifacts(j); err != nil {
			return err
		}
	}
	inPlace := diskOf(j.Outputs)
	if inPlace != nil {
		inPlace.Resource = j.Hand(job.Disk, inPlace.Pending.File(), "raw")
	} else {
		if f.disk, err = tempfile.Scratch(o.BuildDir); err != nil {
			return err
		}
		role := job.Disk
		if !j.NewDisk() && onBase(j.Image.Format, j.Outputs) {
			role = job.Changes
		}
		j.Hand(role, f.disk, "raw")
	}
	for _, t := range j.Outputs {
		if t.Pending != nil && t != inPlace {
			t.Resource = j.Hand(job.Written, t.Pending.File(), t.String())
		}
	}
	return nil
}

// openArtifacts makes the directory of artifacts, if there is to be one.
func (f *openedFiles) openArtifacts(j *job.Job) (err error) {
	if j.Artifacts == nil {
		return nil
	}
	f.artifacts = j.Artifacts
	if j.Artifacts.Pending, err = output.CreateFolder(j.Artifacts.Path); err != nil {
		return err
	}
	j.Artifacts.Resource = j.Hand(job.Written, j.Artifacts.Pending.File(), "artifacts")
	return nil
}

// diskOf is the output that the working disk becomes when everything else is written, a raw one before
// others; nil where no output can be made so.
func diskOf(list []*job.Output) (found *job.Output) {
	for _, t := range list {
		switch {
		case t.Shrunk || t.Pending == nil:
			return nil
		case t.Format.IsRaw() && (found == nil || !found.Format.IsRaw()), found == nil && t.Format.InPlace(t.Pending.File()):
			found = t
		}
	}
	return found
}

// scratchFolder is where working files are made. Those have no name, so that they go with the run however it ends; and
// they are as large as disks, for which /tmp, in memory on many hosts, is not made.
func scratchFolder(named string) string { return cmp.Or(named, os.Getenv("TMPDIR"), "/var/tmp") }

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

// written forgets the outputs that the worker has nothing to write into, and returns the others.
func written(outputs []*job.Output, unwritten []string) (list []*job.Output) {
	for _, o := range outputs {
		switch {
		case !slices.Contains(unwritten, o.Path):
			list = append(list, o)
		case o.Pending != nil:
			o.Pending.Discard()
		}
	}
	return list
}

// publish gives every output its name, now that all are complete.
func publish(ctx context.Context, outputs []*job.Output, screen *ui.UI, artifacts *job.Artifacts) error {
	p, discard := publishing(outputs, artifacts, screen.Handle)
	defer discard()
	if err := (engine.Runner{Report: screen.Handle}).Run(ctx, p); err != nil {
		return err
	}
	for _, o := range outputs {
		older := ""
		if o.Pending.Replaces() {
			older = ", in place of an older file"
		}
		screen.Note("wrote %s (%s)%s", o.Path, o, older)
	}
	if artifacts != nil {
		screen.Note("wrote %s (what is to be signed; put it back with inject-files)", artifacts.Path)
	}
	return nil
}

// publishing are the steps that compute checksums and give files their names. The caller discards what has none then.
func publishing(outputs []*job.Output, artifacts *job.Artifacts, report func(ui.Event)) (p plan.Plan, discard func()) {
	var all, sums []*output.Pending
	if artifacts != nil {
		all = append(all, artifacts.Pending)
	}
	for _, o := range outputs {
		all = append(all, o.Pending)
		if !o.Checksum || o.Format.Folder {
			continue
		}
		p = append(p, plan.Task(plan.Output, "checksum", "compute the checksum of "+filepath.Base(o.Path), func(ctx context.Context) error {
			sum, err := output.Checksum(ctx, o.Pending, progress("checksum", report))
			if err == nil {
				sums = append(sums, sum)
			}
			return err
		}))
	}
	name := func(context.Context) error {
		return output.Publish(append(slices.Clone(sums), all...)...) // whoever sees an image finds its sum there
	}
	if len(outputs) > 0 {
		p = append(p, plan.Task(plan.Output, "publish", "give the outputs their names", name))
	}
	return p, func() {
		for _, s := range sums {
			s.Discard()
		}
	}
}

func (f *openedFiles) discard() {
	for _, o := range f.outputs {
		if o.Pending != nil {
			o.Pending.Discard()
		}
	}
	if f.artifacts != nil && f.artifacts.Pending != nil {
		f.artifacts.Pending.Discard()
	}
	f.drop(&f.disk, &f.scratch, &f.base)
	if f.guard != nil {
		_ = f.guard.given.Close()
	}
}

// drop closes files that nobody needs any more, which frees their space.
func (f *openedFiles) drop(list ...**os.File) {
	for _, x := range list {
		if *x != nil {
			(*x).Close()
			*x = nil
		}
	}
}

// linesOf shows a plan.
func linesOf(p plan.Plan) (lines []job.Line) {
	for _, s := range p.Steps() {
		lines = append(lines, job.Line{Stage: plan.StageOf(s), Name: s.Name(), Text: s.String()})
	}
	return lines
}

func printPlan(w io.Writer, lines []job.Line) error {
	for i, l := range lines {
		if _, err := fmt.Fprintf(w, "%3d. %-6s  %-26s %s\n", i+1, l.Stage, printable.Line(l.Name), printable.Line(l.Text)); err != nil {
			return err
		}
	}
	return nil
}

// printOutputs lists what a run would write.
func printOutputs(w io.Writer, outputs []*job.Output) error {
	for _, o := range outputs {
		if _, err := fmt.Fprintf(w, "to be written: %s (%s)\n", printable.Line(o.Path), o); err != nil {
			return err
		}
	}
	return nil
}
