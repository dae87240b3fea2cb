package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/engine"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/step"
	"imagecustomizer/internal/verify"
)

// Worker is the privileged half of the program: it reads one job, does it, and sends the result. An
// end of its input, before a job or later, means that nobody wants it any more.
func Worker(in, out *os.File) int {
	dec := json.NewDecoder(in)
	var j job
	if err := dec.Decode(&j); err != nil {
		return 0
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel(errCancelled)
	}()
	send := newSender(out)
	slog.SetDefault(slog.New(send))
	tmp := sandbox.Work + "/tmp" // the host's is read-only here
	hostcmd.HostEnv = []string{"TMPDIR=" + tmp}
	if j.Examine { // before a filter is installed that it would find
		send.send(message{Result: &result{OK: true, Host: examine()}})
		return 0
	}
	if err := errors.Join(os.Setenv("TMPDIR", tmp), sandbox.IgnoreSyncs()); err != nil {
		send.send(message{Result: resultOf(err)})
		return 1
	}
	w := &worker{job: &j, sender: send, began: time.Now()}
	if j.Fixed {
		if err := w.fix(); err != nil {
			send.send(message{Result: resultOf(err)})
			return 1
		}
	}
	var p []planLine
	var found []verify.Finding
	var err error
	switch {
	case j.Verify:
		found, err = w.verifyImage(ctx)
	case j.Convert:
		err = w.convert(ctx)
	default:
		p, err = w.customize(ctx)
	}
	res := resultOf(err)
	res.Plan, res.Findings, res.Unwritten = p, found, w.unwritten
	send.send(message{Result: res})
	return 0
}

// worker is the state of one job.
type worker struct {
	*job
	*sender
	config *compose.Result
	cfg    *step.Config
	disk   *image.Disk
	file   *os.File                              // that the disk lies in
	where  func(at, end int64) (*os.File, int64) // the bytes of file really are; nil if in it
	seals  []image.Seal                          // filesystems to be sealed by dm-verity
	undo   disk.Stack                            // what closing the image takes: the disk, the image entered, and what came later
	arch   string                                // of the image's programs
	before []verify.Finding                      // what was wrong with the base image

	processors unix.CPUSet // where the worker may run, in a run with Fixed

	began time.Time // when the run began, of whose files a run with Fixed sets the times

	system    output.System // what a COSI says of the image
	unwritten []int         // outputs there was nothing to write into
	machine   *machine.Machine
	maker     *liveos.Maker

	mediumArgs  []string      // kernel arguments that the base image, an ISO image, had for itself
	mediumFiles []liveos.File // and files
}

// customize does the job: it fills the working disk, opens it, plans, carries the plan out, closes
// the disk, checks it and writes the outputs.
func (w *worker) customize(ctx context.Context) (shown []planLine, err error) {
	if err := w.parse(); err != nil {
		return nil, err
	}
	if w.Remake {
		return w.remake(ctx)
	}
	read := w.copyDisk
	if w.Format.Name == "iso" {
		read = w.unpack
	}
	defer func() { err = errors.Join(err, w.undo.Undo()) }()
	m, err := w.loadBase(ctx, read)
	if err != nil {
		return nil, err
	}
	w.machine = m
	p, err := w.plan(ctx, m)
	if err != nil {
		return nil, err
	}
	if w.DryRun {
		return planLines(p), nil
	}
	if w.Fixed {
		p = w.committed(p)
	}
	if err := engine.Run(ctx, p, m, w.event); err != nil {
		if u, ok := errors.AsType[*plan.Unmet](err); ok {
			return nil, refusal(w.config, ExitConfig, u.Problems)
		}
		return nil, err
	}
	if err := w.inspect(ctx, m); err != nil {
		return nil, err
	}
	if err := w.seal(ctx); err != nil {
		return nil, err
	}
	return nil, w.write(ctx, w.file)
}

// loadBase opens the base image, of which there is to be a copy in the working file. The working file of a
// new disk is filled later: a raw base image is opened where it is then, for reading only, if possible.
func (w *worker) loadBase(ctx context.Context, read func(context.Context, *os.File) error) (*machine.Machine, error) {
	if !w.NewDisk {
		return w.loadWorking(ctx, read, w.opener())
	}
	if w.Format.Name == "raw" {
		m, err := w.lookAtBase(ctx)
		if err == nil {
			return m, nil
		}
		slog.Debug("the base image is copied before it is opened", "because", err)
		if err := errors.Join(w.undo.Undo(), context.Cause(ctx)); err != nil {
			return nil, err
		}
	}
	return w.load(ctx, sandbox.File(w.Base), read, image.OpenOld)
}

// lookAtBase opens the file of the base image. That it cannot is no failure of the phase.
func (w *worker) lookAtBase(ctx context.Context) (m *machine.Machine, err error) {
	file, err := os.Open(w.Image) // stays open as long as the worker, which has it as its disk
	if err != nil {
		return nil, err
	}
	phase := w.phase(ctx, "open", "open the image where it is", func(ctx context.Context) error {
		m, err = w.open(ctx, file, image.OpenReadOnly)
		return nil
	})
	return m, errors.Join(err, phase)
}

// load fills a file with the disk of the base image and opens it. The caller undoes it.
func (w *worker) load(ctx context.Context, file *os.File, read func(context.Context, *os.File) error, open opener) (m *machine.Machine, err error) {
	release, err := disk.Reserve(file, "/dev")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := w.phase(ctx, "input", "read "+w.Image, func(ctx context.Context) error { return read(ctx, file) }); err != nil {
		return nil, err
	}
	err = w.phase(ctx, "open", "open the image", func(ctx context.Context) (err error) {
		m, err = w.open(ctx, file, open)
		return err
	})
	return m, err
}

// copyDisk fills a file with the disk of the base image. One that becomes an output is written while the
// image is customized; any other need never be.
func (w *worker) copyDisk(ctx context.Context, file *os.File) error {
	err := image.Convert(ctx, w.Image, w.Format, file, progress("input", w.event))
	if err == nil && slices.ContainsFunc(w.Outputs, func(o jobOutput) bool { return o.File == fileDisk }) {
		go image.WriteBehind(file, 0, 0)
	}
	return err
}

func (w *worker) phase(ctx context.Context, name, what string, f func(context.Context) error) error {
	return engine.Phase(ctx, name, what, w.event, f)
}

// parse reads the config, which the supervisor found valid.
func (w *worker) parse() error {
	r, err := compose.Load(w.ConfigFile, &compose.Files{List: w.Config, Sealed: true}, compose.Options{CheckFiles: true})
	if err != nil {
		return err
	}
	w.config, w.cfg = r, r.Config
	if err := r.Report.Err(); err != nil {
		return &Failure{Code: ExitConfig, Err: err}
	}
	return nil
}

// plan makes the plan and looks for every reason why it would fail, before anything is changed.
func (w *worker) plan(ctx context.Context, m *machine.Machine) (plan.Plan, error) {
	in := step.Inputs{ToolVersion: w.Version, Now: w.Now, UUID: w.Seed.UUID("image"), Seed: w.Seed, NoBaseRepos: w.NoBaseRepo, ConfigDir: filepath.Dir(w.ConfigFile), Named: named(w.cfg)}
	for _, o := range w.Outputs {
		in.Outputs = append(in.Outputs, o.Format)
	}
	w.maker = w.liveMaker()
	in.Live, in.MediumArgs, in.MediumFiles = w.maker, w.mediumArgs, w.mediumFiles
	var err error
	if in.RPMSources, err = sources(w.RPMSources); err != nil {
		return nil, err
	}
	if in.DebSources, err = sources(w.DebSources); err != nil {
		return nil, err
	}
	p, problems := step.Plan(w.cfg, m.Facts, in)
	problems = append(problems, p.Preflight(ctx, m)...)
	if len(w.cfg.Storage.Disks) == 0 {
		problems = append(problems, w.checkOutputs()...)
	}
	problems = append(problems, w.checkFormats(step.FinalSize(p, m.Facts))...)
	w.seals = step.Seals(p)
	if err := context.Cause(ctx); err != nil { // which steps may have taken for a problem
		return nil, err
	}
	if len(problems) == 0 {
		return p, nil
	}
	return nil, refusal(w.config, ExitConfig, problems)
}

func sources(paths []string) (found []pkgmgr.Source, err error) {
	for _, p := range paths {
		s, err := pkgmgr.CheckSource(p)
		if err != nil {
			return nil, err
		}
		found = append(found, s)
	}
	return found, nil
}
