package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/engine"
	"imagecustomizer/internal/extent"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/storage"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/pkgmgr/probe"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/step"
	"imagecustomizer/internal/verify"
)

// Worker is the privileged half of the program: it reads one job, does it, and sends the result.
func Worker(in, out *os.File) int {
	job.Serve(in, out, work)
	return 0
}

// work does a job.
func work(ctx context.Context, j *job.Job, send *job.Sender, res *job.Result) (err error) {
	slog.SetDefault(slog.New(send))
	tmp := sandbox.Work + "/tmp" // the host's is read-only here
	hostcmd.HostEnv = []string{"TMPDIR=" + tmp}
	if j.Kind == job.Examine { // before a filter is installed that it would find
		res.Host = examine()
		return nil
	}
	if err := errors.Join(os.Setenv("TMPDIR", tmp), sandbox.IgnoreSyncs()); err != nil {
		return err
	}
	w := &worker{job: j, send: send, result: res, began: time.Now()}
	if j.Fixed {
		if err := w.fix(); err != nil {
			return err
		}
	}
	switch j.Kind {
	case job.Verify:
		res.Findings, err = w.verifyImage(ctx)
	case job.Inspect:
		res.Identity, err = w.inspectImage(ctx)
	case job.Convert:
		err = w.convert(ctx)
	case job.Remake:
		err = w.remake(ctx)
	case job.Inject:
		err = w.inject(ctx)
	default:
		err = w.customize(ctx)
	}
	return err
}

// worker is the state of one job.
type worker struct {
	job    *job.Job
	send   *job.Sender
	result *job.Result
	where  func(at, end int64) (*os.File, int64) // the bytes of file really are; nil if in it
	seals  []image.Seal                          // filesystems to be sealed by dm-verity
	before []verify.Finding                      // what was wrong with the base image

	processors unix.CPUSet // where the worker may run, in a run with Fixed

	began time.Time // when the run began, of whose files a run with Fixed sets the times

	named []image.Sealed // dm-verity devices, as the kernel arguments name them in the end

	system  output.System    // what a COSI says of the image
	machine *machine.Machine // the session; nil before the image is open
	done    plan.Plan        // steps that were carried out before there was a plan, or behind it
	parts   *output.Parts    // the finished disk, as outputs are made of it
	maker   *liveos.Maker

	mediumArgs  []string      // kernel arguments that the base image, an ISO image, had for itself
	mediumFiles []liveos.File // and files
}

// customize does the job: it fills the working disk, opens it and plans; then it carries out the plan, and the steps that
// close the disk, check it and write the outputs.
func (w *worker) customize(ctx context.Context) (err error) {
	read := w.copyDisk
	if w.job.Image.Format.Name == "iso" {
		read = w.unpack
	}
	defer func() { err = errors.Join(err, w.leave()) }()
	if err := w.loadBase(ctx, read); err != nil {
		return err
	}
	m := w.machine
	p, err := w.plan(ctx, m)
	if err != nil {
		return err
	}
	finish := append(w.sealing(), w.writing(storage.FinalPartitions(p, m.Opened().Table.Partitions))...)
	if w.job.DryRun {
		w.show(slices.Concat(w.done, p, finish))
		return nil
	}
	r := w.runner()
	if w.job.Fixed { // each step begins on filesystems for which the kernel has nothing left to do
		r.Before = func() error { return w.machine.Opened().Commit() }
	}
	if err := r.Run(ctx, p); err != nil {
		return err
	}
	return w.run(ctx, finish...)
}

// runner carries out steps on the session, as far as there is one.
func (w *worker) runner() engine.Runner {
	return engine.Runner{Machine: w.machine, Report: w.send.Event}
}

// run carries out steps and notes that they are done.
func (w *worker) run(ctx context.Context, steps ...plan.Step) error {
	w.done = append(w.done, steps...)
	return w.runner().Run(ctx, steps)
}

// reading are the steps that fill a file with the disk of the base image and open it.
func (w *worker) reading(file *os.File, read func(context.Context, *os.File) error, open machine.Opener) plan.Plan {
	return plan.Plan{
		plan.Task(plan.Input, "input", "read "+w.job.Image.Path, func(ctx context.Context) error { return read(ctx, file) }),
		w.opening("open the image", file, open),
	}
}

// opening is the step that opens the disk in a file.
func (w *worker) opening(what string, file *os.File, open machine.Opener) plan.Step {
	return plan.Task(plan.Input, "open", what, func(ctx context.Context) error { return w.open(ctx, file, open) })
}

// open opens the disk in a file and looks what is wrong with the system on it.
func (w *worker) open(ctx context.Context, file *os.File, open machine.Opener) (err error) {
	w.machine, err = machine.Open(ctx, file, open, machine.Options{
		Again: w.opener(), Manager: probe.Manager, Root: w.job.Image.Root, Cache: sandbox.Writable(string(job.Cache)),
		Scratch: w.job.Of(job.Scratch), Spare: w.job.Working(), Progress: progress("storage.disk", w.send.Event),
	})
	if err != nil {
		return err
	}
	w.result.Systemd = w.machine.Systemd()
	w.before, err = w.findings(ctx)
	return err
}

// opener is how the disk that the result lies on is opened.
func (w *worker) opener() machine.Opener {
	if w.job.Config != nil && w.job.Config.Storage.ReinitializeVerity == storage.ReinitializeAll {
		return image.OpenToReseal
	}
	return image.Open
}

// leave closes the session, if there is one.
func (w *worker) leave() error {
	if w.machine == nil {
		return nil
	}
	return w.machine.Close()
}

// show makes a plan part of the result.
func (w *worker) show(p plan.Plan) {
	w.result.Plan = append(w.result.Plan, linesOf(p)...)
}

// loadBase opens the base image, of which there is to be a copy in the working file. The working file of a
// new disk is filled later: a raw base image is opened where it is then, for reading only, if possible.
func (w *worker) loadBase(ctx context.Context, read func(context.Context, *os.File) error) error {
	if !w.job.NewDisk() {
		return w.loadWorking(ctx, read, w.opener())
	}
	if w.job.Image.Format.Name == "raw" {
		err := w.lookAtBase(ctx)
		if err == nil {
			return nil
		}
		slog.Debug("the base image is copied before it is opened", "because", err)
		w.done = nil
		if err := errors.Join(w.leave(), context.Cause(ctx)); err != nil {
			return err
		}
	}
	return w.load(ctx, w.job.Of(job.Former), read, image.OpenOld)
}

// lookAtBase opens the file of the base image. That it cannot is no failure of the phase.
func (w *worker) lookAtBase(ctx context.Context) error {
	file, err := os.Open(w.job.Image.Path) // stays open as long as the worker, which has it as its disk
	if err != nil {
		return err
	}
	look := plan.Task(plan.Input, "open", "open the image where it is", func(ctx context.Context) error {
		err = w.open(ctx, file, image.OpenReadOnly)
		return nil
	})
	failed := w.run(ctx, look)
	return errors.Join(err, failed)
}

// load fills a file with the disk of the base image and opens it. The caller undoes it.
func (w *worker) load(ctx context.Context, file *os.File, read func(context.Context, *os.File) error, open machine.Opener) (err error) {
	release, err := disk.Reserve(file, "/dev")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	return w.run(ctx, w.reading(file, read, open)...)
}

// copyDisk fills a file with the disk of the base image. One that becomes an output is written while the
// image is customized; any other need never be.
func (w *worker) copyDisk(ctx context.Context, file *os.File) error {
	if w.job.Image.Path == "" { // the supervisor filled it
		return nil
	}
	err := diskformat.Read(ctx, w.job.Image.Path, w.job.Image.Format, file, progress("input", w.send.Event))
	if err == nil && slices.ContainsFunc(w.job.Outputs, (*job.Output).InPlace) {
		go extent.WriteBehind(file, 0, 0)
	}
	return err
}

// compose makes the config anew where it depends on what the base image is, which is known now.
func (w *worker) compose(f *machine.Facts) error {
	if w.job.Parts == nil {
		return nil
	}
	w.result.Facts = factsOf(f)
	r, err := w.job.Parts.With(w.result.Facts, nil)
	if err != nil {
		return err
	}
	if err := r.Report.Err(); err != nil {
		return &failure.Failure{Code: failure.Config, Err: err}
	}
	w.job.Config = withoutKeyFiles(r.Config)
	return nil
}

// factsOf are what conditions can ask of an image.
func factsOf(f *machine.Facts) *compose.Facts {
	return &compose.Facts{Arch: f.Arch, Distro: f.OSRelease["ID"], Version: f.OSRelease["VERSION_ID"]}
}

// plan makes the plan and looks for every reason why it would fail, before anything is changed.
func (w *worker) plan(ctx context.Context, m *machine.Machine) (plan.Plan, error) {
	if err := w.compose(m.Facts); err != nil {
		return nil, err
	}
	in := feature.Inputs{
		ToolVersion: w.job.Version, Now: w.job.Now, UUID: w.job.Seed.UUID("image"), Seed: w.job.Seed,
		RPMSources: w.job.RPMSources, DebSources: w.job.DebSources, NoBaseRepos: w.job.NoBaseRepos,
		ConfigDir: w.job.ConfigDir, Named: named(w.job.Config), Asked: map[string]string{}, Sign: w.signsBy(), Secrets: map[string]string{},
	}
	for _, s := range w.job.Secrets {
		in.Secrets[s.Name] = s.Value
	}
	for _, o := range w.job.Outputs {
		switch {
		case !o.Seed:
			in.Outputs = append(in.Outputs, o.Format.Name)
		case !w.job.DryRun:
			in.SeedImage = w.job.File(o.Resource)
		}
	}
	w.maker = w.liveMaker()
	in.Live, in.MediumArgs, in.MediumFiles = w.maker, w.mediumArgs, w.mediumFiles
	p, problems := step.Plan(w.job.Config, m.Facts, in)
	found := p.Preflight(ctx, m)
	for i, pr := range found {
		found[i].Path = cmp.Or(pr.Path, in.Asked[pr.Step])
	}
	problems = append(append(problems, found...), w.wrongArgs(ctx)...)
	if !w.job.NewDisk() {
		problems = append(problems, w.checkOutputs()...)
	}
	problems = append(problems, w.checkFormats(storage.FinalSize(p, m.Facts))...)
	problems = append(append(problems, w.checkArtifacts(ctx)...), w.checkSigning(ctx)...)
	w.seals = storage.Seals(p)
	if err := context.Cause(ctx); err != nil { // which steps may have taken for a problem
		return nil, err
	}
	if len(problems) == 0 {
		return p, nil
	}
	return nil, &plan.Unmet{Problems: problems}
}
