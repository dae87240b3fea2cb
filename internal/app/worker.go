package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/engine"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/legacy"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/step"
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
	hostcmd.HostEnv = []string{"TMPDIR=" + sandbox.Work + "/tmp"}
	w := &worker{job: &j, sender: send}
	p, err := w.customize(ctx)
	res := resultOf(err)
	res.Plan = p
	send.send(message{Result: res})
	return 0
}

// worker is the state of one job.
type worker struct {
	*job
	*sender
	disk *image.Disk
	undo disk.Stack // what closing the image takes
}

// customize does the job: it fills the working disk, opens it, plans, carries the plan out, closes
// the disk, checks it and writes the outputs.
func (w *worker) customize(ctx context.Context) (shown []planLine, err error) {
	file := sandbox.File(fileDisk)
	if err := w.phase(ctx, "input", "read "+w.Image, func(ctx context.Context) error {
		return image.Convert(ctx, w.Image, w.Format, file, progress("input", w.event))
	}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.undo.Undo()) }()
	var m *machine.Machine
	if err := w.phase(ctx, "open", "open the image", func(ctx context.Context) (err error) {
		m, err = w.open(ctx, file)
		return err
	}); err != nil {
		return nil, err
	}
	p, err := w.plan(ctx, m)
	if err != nil {
		return nil, err
	}
	if w.DryRun {
		return planLines(p), nil
	}
	if err := engine.Run(ctx, p, m, w.event); err != nil {
		return nil, err
	}
	if err := w.phase(ctx, "close", "trim, unmount and check the filesystems", w.seal); err != nil {
		return nil, err
	}
	return nil, w.write(ctx, file)
}

func (w *worker) phase(ctx context.Context, name, what string, f func(context.Context) error) error {
	return engine.Phase(ctx, name, what, w.event, f)
}

// open attaches the working disk, mounts its tree and finds out about the system on it.
func (w *worker) open(ctx context.Context, file *os.File) (*machine.Machine, error) {
	root := sandbox.Work + "/root"
	if err := os.Mkdir(root, 0o755); err != nil {
		return nil, err
	}
	d, err := image.Open(ctx, file, root)
	if err != nil {
		return nil, err
	}
	w.disk = d
	w.undo.Push(d.Close)
	i, err := sandbox.EnterImage(d.Root, d.Nodes, d.Links)
	if err != nil {
		return nil, err
	}
	w.undo.Push(i.Leave)
	facts, err := machine.Probe(d.Root, filesystems(d))
	if err != nil {
		return nil, err
	}
	logFacts(facts)
	scratch, err := w.openScratch(ctx)
	if err != nil {
		return nil, err
	}
	return &machine.Machine{
		Root: d.Root, Facts: facts, Image: i, Scratch: scratch, Cache: sandbox.Writable("cache"), Log: slog.Default(),
	}, nil
}

func filesystems(d *image.Disk) (list []machine.Filesystem) {
	m := machine.Machine{Root: d.Root}
	for _, mounted := range d.Mounts {
		size, free, _ := m.Space(mounted.Path) // unknown space is no reason to fail
		list = append(list, machine.Filesystem{MountPoint: mounted.Path, Type: mounted.Volume.Content.Type, Size: size, Free: free})
	}
	return list
}

func logFacts(f *machine.Facts) {
	slog.Debug("facts", "distribution", f.Distro.Name, "known", !f.Distro.Unknown, "arch", f.Arch, "packageManager", f.PackageManager,
		"boot", f.Boot.String(), "bootTrail", strings.Join(f.Boot.Trail, "; "), "initramfs", f.Initramfs, "selinux", f.SELinux)
	for _, k := range f.Kernels {
		slog.Debug("kernel", "version", k.Version, "initramfs", k.Initramfs)
	}
	for _, fs := range f.Filesystems {
		slog.Debug("filesystem", "mount", fs.MountPoint, "type", fs.Type, "sizeMiB", fs.Size>>20, "freeMiB", fs.Free>>20)
	}
	if f.Distro.Unknown {
		slog.Warn("this distribution is not one that is tested; its package manager and boot loader are known, so it is customized all the same", "distribution", f.Distro.Name)
	}
}

// scratchSize is the size of the scratch filesystem; its file takes only what is written.
const scratchSize = 64 << 30

// openScratch makes a filesystem for large temporary files in the unnamed file that the supervisor
// opened in the build folder, so that they go with the worker.
func (w *worker) openScratch(ctx context.Context) (string, error) {
	file := sandbox.File(fileScratch)
	if err := file.Truncate(scratchSize); err != nil {
		return "", err
	}
	mkfs := hostcmd.New("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-N", "262144",
		"-E", "lazy_itable_init=1,nodiscard,root_owner=0:0", sandbox.Path(file))
	if err := mkfs.Run(ctx); err != nil {
		return "", err
	}
	loop, err := disk.AttachLoop(file, "/dev", 512)
	if err != nil {
		return "", err
	}
	w.undo.Push(loop.Detach)
	dir := sandbox.Work + "/scratch"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := disk.MountVolume(loop.Node(), dir, "ext4", "", false); err != nil {
		return "", err
	}
	w.undo.Push(func() error { return disk.Unmount(dir) })
	return dir, nil
}

// plan makes the plan and looks for every reason why it would fail, before anything is changed.
func (w *worker) plan(ctx context.Context, m *machine.Machine) (plan.Plan, error) {
	doc, report := config.Parse(w.ConfigFile, w.Config)
	cfg := legacy.Load(doc, config.Options{CheckFiles: true})
	if err := report.Err(); err != nil {
		return nil, &Failure{Code: ExitConfig, Err: err}
	}
	in := step.Inputs{ToolVersion: w.Version, Now: w.Now, UUID: w.UUID, NoBaseRepos: w.NoBaseRepo, ConfigDir: filepath.Dir(w.ConfigFile)}
	for _, p := range append(w.RPMSources, w.DebSources...) {
		s, err := pkgmgr.CheckSource(p)
		if err != nil {
			return nil, err
		}
		in.Sources = append(in.Sources, s)
	}
	p, problems := step.Plan(cfg, m.Facts, in)
	problems = append(problems, p.Preflight(ctx, m)...)
	if len(problems) == 0 {
		return p, nil
	}
	var lines, hints []string
	for _, pr := range problems {
		lines = append(lines, pr.Step+": "+pr.Text)
		if pr.Hint != "" {
			hints = append(hints, pr.Hint)
		}
	}
	return nil, &Failure{
		Code: ExitConfig, Hint: strings.Join(hints, "; "),
		Err: errors.New("the config cannot be carried out on this image:\n  " + strings.Join(lines, "\n  ")),
	}
}

// seal trims and closes the image and looks for damage. From here on the disk is only read.
func (w *worker) seal(ctx context.Context) error {
	if err := w.disk.Trim(); err != nil {
		return err
	}
	attached := w.undo[:1] // closing the disk
	w.undo = w.undo[1:]
	if err := w.undo.Undo(); err != nil {
		return err
	}
	w.undo = attached
	if err := w.disk.Unmount(); err != nil {
		return err
	}
	if err := w.disk.Check(ctx); err != nil {
		return err
	}
	return w.undo.Undo()
}

// write writes the outputs side by side.
func (w *worker) write(ctx context.Context, file *os.File) error {
	var wg sync.WaitGroup
	errs := make([]error, len(w.Outputs))
	for i, o := range w.Outputs {
		if o.File == fileDisk {
			continue
		}
		format, err := output.Parse(o.Format)
		if err != nil {
			return err
		}
		wg.Go(func() {
			name := "output." + o.Format
			errs[i] = w.phase(ctx, name, "write "+o.Format, func(ctx context.Context) error {
				return output.Write(ctx, format, sandbox.Path(file), w.Format.Size, sandbox.Path(sandbox.File(o.File)), progress(name, w.event))
			})
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
