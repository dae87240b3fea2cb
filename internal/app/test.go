package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imagecustomizer/internal/boottest"
	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/engine"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/feature/files"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/printable"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/seed"
	"imagecustomizer/internal/step"
	"imagecustomizer/internal/tempfile"
	"imagecustomizer/internal/ui"
	"imagecustomizer/internal/vm"
)

// TestOptions are the flags of the test command.
type TestOptions struct {
	ImageFile        string
	ConfigFile       string // whose section test is meant; empty for the flags alone
	Compose          compose.Options
	More             boottest.Spec // what the flags add
	Firmware         string        // uefi or bios; empty means what the image asks for
	BuildDir         string
	AllowBackingFile bool
	Root             RootChoice
	Records          Records
}

// Records are files that a boot test writes, for people and for CI. Empty ones are not written.
type Records struct {
	JUnit   string // XML
	Console string // all that the guests printed
	Picture string // PNG of the display, where a boot failed
}

// Test boots an image and checks that it does what it must. The image is never written. What came of each check goes
// to stdout; the returned error says that one failed or could not be made.
func Test(ctx context.Context, o TestOptions, screen *ui.UI, stdout io.Writer) error {
	spec, err := o.spec(screen)
	if err != nil {
		return err
	}
	format, err := probeImage(ctx, o.ImageFile, o.AllowBackingFile)
	if err != nil {
		return err
	}
	t := tester{spec: spec, records: o.Records, screen: screen, stdout: stdout, dir: scratchFolder(o.BuildDir), firmware: vm.Firmware(o.Firmware), version: unknown}
	return t.test(ctx, job.Image{Path: abs(o.ImageFile), Format: format, Root: o.Root}, o.ImageFile)
}

// spec is what the config and the flags say, of which the flags win.
func (o TestOptions) spec(screen *ui.UI) (*boottest.Spec, error) {
	spec := boottest.Spec{}
	if o.ConfigFile != "" {
		var files compose.Files
		r, err := loadOne(o.ConfigFile, &files, o.Compose, screen)
		if err != nil {
			return nil, err
		}
		spec = r.Config.Test
	}
	spec.Add(o.More)
	return &spec, nil
}

// tester makes boot tests.
type tester struct {
	spec     *boottest.Spec
	records  Records
	screen   *ui.UI
	stdout   io.Writer
	dir      string // for working files
	firmware vm.Firmware

	version int // of the image's systemd, or unknown

	reports []*boottest.Report
}

const unknown = -1

// test tests one image, which messages call by name, and writes the records.
func (t *tester) test(ctx context.Context, i job.Image, name string) error {
	err := t.image(ctx, i, name)
	return errors.Join(err, t.record())
}

// image tests one image.
func (t *tester) image(ctx context.Context, i job.Image, name string) (err error) {
	var r *boottest.Report
	boot := testStep(name, func(ctx context.Context) (err error) {
		r, err = t.run(ctx, i)
		return err
	})
	if err := (engine.Runner{Report: t.screen.Handle}).Run(ctx, plan.Plan{boot}); err != nil {
		return err
	}
	r.Image = name
	t.reports = append(t.reports, r)
	t.print(r)
	if !r.OK() {
		return &failure.Failure{Shown: true, Code: failure.Failed, Step: "test", Err: fmt.Errorf("%s failed its boot test", name)}
	}
	return nil
}

// testStep is the step that boots an image, which messages call by name.
func testStep(name string, run func(context.Context) error) plan.Step {
	return plan.Task(plan.Check, "test", "boot "+filepath.Base(name)+" and check it", run)
}

// run boots the image as it is where its systemd takes the unit from the machine, and else a copy with the unit in it.
func (t *tester) run(ctx context.Context, i job.Image) (*boottest.Report, error) {
	image := boottest.Image{Path: i.Path, Format: i.Format.Name, Backing: i.Format.Backing, Firmware: t.firmware}
	if os.Geteuid() != 0 || i.Format.Name == "iso" {
		r, err := boottest.Run(ctx, image, t.spec, nil)
		if boottest.IsTooOld(err) && i.Format.Name != "iso" {
			err = &failure.Failure{Code: failure.Host, Err: err, Hint: "run it as root, who can put the boot test into a copy of the image"}
		}
		return r, err
	}
	if t.version >= boottest.TakesUnits {
		return boottest.Run(ctx, image, t.spec, nil)
	}
	disk, err := tempfile.Scratch(t.dir)
	if err != nil {
		return nil, err
	}
	defer disk.Close()
	if err := diskformat.Read(ctx, i.Path, i.Format, disk, func(int64, int64) {}); err != nil {
		return nil, err
	}
	if t.version == unknown {
		if t.version, err = t.systemd(ctx, i.Root, disk); err != nil {
			return nil, err
		}
		if t.version >= boottest.TakesUnits {
			return boottest.Run(ctx, image, t.spec, nil)
		}
	}
	mark, err := t.inject(ctx, i.Root, disk)
	if err != nil {
		return nil, fmt.Errorf("put the boot test into a copy of the image: %w", err)
	}
	image = boottest.Image{Path: sandbox.Path(disk), Format: "raw", Firmware: t.firmware, Injected: mark}
	return boottest.Run(ctx, image, t.spec, nil)
}

// systemd finds out the version of the systemd on a disk; 0 where it has none.
func (t *tester) systemd(ctx context.Context, root RootChoice, disk *os.File) (int, error) {
	j := t.job(root, &step.Config{}, disk)
	j.DryRun = true
	res, err := runWorker(ctx, j, quiet)
	if err != nil {
		return 0, err
	}
	return res.Systemd, nil
}

// inject has the system on a disk start the unit.
func (t *tester) inject(ctx context.Context, root RootChoice, disk *os.File) (mark string, err error) {
	mark = rand.Text()
	var cfg step.Config
	for _, f := range boottest.Script(mark, t.spec) {
		cfg.OS.AdditionalFiles = append(cfg.OS.AdditionalFiles, files.AdditionalFile{Content: &f.Content, Destination: files.ImagePath(f.Path)})
	}
	cfg.OS.ImageHistory = "none"
	_, err = runWorker(ctx, t.job(root, &cfg, disk), quiet)
	return mark, err
}

// quiet is for workers whose steps are not those of the run.
func quiet(ui.Event) {}

// job changes a disk that holds its image already and becomes no output.
func (t *tester) job(root RootChoice, cfg *step.Config, disk *os.File) *job.Job {
	j := &job.Job{Kind: job.Customize, Config: cfg, ConfigDir: "/", Version: Version, Now: buildTime(), Seed: seed.New("")}
	j.Image = job.Image{Format: diskformat.Image{Name: "raw"}, Root: root}
	j.Hand(job.Disk, disk, "raw")
	return j
}

// print tells what came of each check.
func (t *tester) print(r *boottest.Report) {
	for _, c := range r.Checks {
		text := ""
		if c.Text != "" {
			text = ": " + strings.ReplaceAll(printable.Text(c.Text), "\n", "\n    ")
		}
		fmt.Fprintf(t.stdout, "%-7s  boot %d  %s%s\n", c.Result, c.Boot, printable.Line(c.Name), text)
	}
	fmt.Fprintf(t.stdout, "%s: %s (%d checks, %.0f s, injection: %s)\n", r.Image, map[bool]string{true: "passed", false: "FAILED"}[r.OK()], len(r.Checks), r.Seconds, r.Injection)
}

// record writes the files that were asked for, each complete or not at all.
func (t *tester) record() error {
	var errs []error
	for _, f := range []struct {
		path string
		make func() ([]byte, error)
	}{
		{t.records.JUnit, func() ([]byte, error) { return boottest.JUnit(t.reports) }},
		{t.records.Console, func() ([]byte, error) { return t.consoles(), nil }},
		{t.records.Picture, func() ([]byte, error) { return t.picture(), nil }},
	} {
		if f.path == "" || len(t.reports) == 0 {
			continue
		}
		data, err := f.make()
		if err == nil && len(data) > 0 {
			err = writeFile(f.path, data, false)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (t *tester) consoles() (all []byte) {
	for _, r := range t.reports {
		all = append(all, r.Console...)
	}
	return all
}

func (t *tester) picture() []byte {
	for _, r := range t.reports {
		if r.Picture != nil {
			return r.Picture
		}
	}
	return nil
}

// outputs boots every output that a machine can boot, before any of them gets its name.
func (t *tester) outputs(ctx context.Context, outputs []*job.Output, root RootChoice) error {
	var errs []error
	for _, o := range outputs {
		if !bootable(o) || o.Pending == nil {
			continue
		}
		i := job.Image{Path: sandbox.Path(o.Pending.File()), Root: root}
		format, err := diskformat.Probe(ctx, i.Path, false)
		if err == nil {
			i.Format = format
			err = t.image(ctx, i, o.Path)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, t.record())...)
}

// bootable tells whether a machine boots an output as it is.
func bootable(o *job.Output) bool {
	_, ok := diskformat.Driver(o.Format.Name)
	return ok && o.Split == ""
}

// untestable refuses a test of outputs of which none boots as it is.
func untestable(spec *boottest.Spec, outputs []*job.Output) error {
	if !spec.Used() || slices.ContainsFunc(outputs, bootable) {
		return nil
	}
	return fmt.Errorf("the config has a test, but none of the outputs can be booted as it is: add one as %s, or pass --no-test", diskformat.Bootable())
}
