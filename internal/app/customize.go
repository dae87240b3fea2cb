// Package app is the main flow of each subcommand. Start reading here: Customize is the whole tool,
// as the unprivileged-minded supervisor sees it, and customize in worker.go is its other half.
package app

import (
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
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/seed"
	"imagecustomizer/internal/step"
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
