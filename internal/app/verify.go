package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/feature/system"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/tempfile"
	"imagecustomizer/internal/ui"
	"imagecustomizer/internal/verify"
)

// LookOptions are the flags of commands that only look at an image.
type LookOptions struct {
	ImageFile        string
	BuildDir         string // for a copy of the image; empty for the system's temporary folder
	AllowBackingFile bool
	Root             RootChoice
}

// VerifyOptions are the flags of the verify command.
type VerifyOptions struct {
	LookOptions
	Format string // of what is printed: text or json
}

// Verify looks for reasons why an image would not boot. It works on a copy. What it finds goes to
// stdout; an error is among it, or the image cannot be opened, when the returned error is not nil.
func Verify(ctx context.Context, o VerifyOptions, screen *ui.UI, stdout io.Writer) error {
	format, err := probeImage(ctx, o.ImageFile, o.AllowBackingFile)
	if err != nil {
		return err
	}
	if format.Name == "iso" {
		return verifyMedium(ctx, abs(o.ImageFile), stdout)
	}
	res, err := o.look(ctx, job.Verify, format, screen)
	if err != nil && o.Format == "json" && failure.Of(err).Code == failure.Failed {
		err = errors.Join(err, printFindings(o.Format, []verify.Finding{{Check: "open", Text: err.Error()}}, stdout))
	}
	if err != nil {
		return err
	}
	return report(o, res.Findings, stdout)
}

// look has a worker do a job on a copy of the image.
func (o LookOptions) look(ctx context.Context, kind job.Kind, format diskformat.Image, screen *ui.UI) (*job.Result, error) {
	o.BuildDir = scratchFolder(o.BuildDir)
	if err := os.MkdirAll(o.BuildDir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the build folder: %w", err)
	}
	disk, err := tempfile.Scratch(o.BuildDir)
	if err != nil {
		return nil, err
	}
	defer disk.Close()
	j := &job.Job{Kind: kind, Image: job.Image{Path: abs(o.ImageFile), Format: format, Root: o.Root}, Version: Version, Now: buildTime()}
	j.Show(job.Read, j.Image.Path)
	j.Hand(job.Disk, disk, "raw")
	return runWorker(ctx, j, screen.Handle)
}

// report prints findings, errors first.
func report(o VerifyOptions, findings []verify.Finding, stdout io.Writer) error {
	errs, warnings := verify.New(nil, findings)
	if err := printFindings(o.Format, append(errs, warnings...), stdout); err != nil {
		return err
	}
	if len(errs) > 0 {
		return &failure.Failure{Shown: true, Code: failure.Failed, Err: fmt.Errorf("%d findings", len(errs))}
	}
	if o.Format == "json" {
		return nil
	}
	_, err := fmt.Fprintf(stdout, "%s: nothing wrong was found (%d warnings)\n", o.ImageFile, len(warnings))
	return err
}

func printFindings(format string, findings []verify.Finding, stdout io.Writer) error {
	for _, f := range findings {
		if format == "json" {
			if err := json.NewEncoder(stdout).Encode(f); err != nil {
				return err
			}
			continue
		}
		level, hint := "error", ""
		if f.Warning {
			level = "warning"
		}
		if f.Hint != "" {
			hint = "\n  " + f.Hint
		}
		if _, err := fmt.Fprintf(stdout, "%s: %s%s\n", level, f, hint); err != nil {
			return err
		}
	}
	return nil
}

// verifyImage is the worker's part of the verify command.
func (w *worker) verifyImage(ctx context.Context) (found []verify.Finding, err error) {
	defer func() { err = errors.Join(err, w.leave()) }()
	if err := w.load(ctx, w.job.Working(), w.copyDisk, image.Open); err != nil {
		return nil, err
	}
	found = w.before
	err = w.run(ctx, plan.Task(plan.Check, "check", "check the filesystems and hash trees", func(ctx context.Context) error {
		found = append(found, verify.Trees(ctx, w.checked())...)
		if err := w.machine.Unmount(); err != nil {
			return err
		}
		if err := w.machine.Opened().Check(ctx); err != nil {
			found = append(found, verify.Finding{Check: "filesystems", Text: ui.Describe(err)})
		}
		return nil
	}))
	return found, err // read only now: the phase adds to them
}

// findings are what is wrong with the mounted image.
func (w *worker) findings(ctx context.Context) (found []verify.Finding, err error) {
	err = w.machine.Opened().LookAtESP(ctx, func(mounts []image.Mounted) {
		i := w.checked()
		i.Mounts = mounts
		found = verify.Run(ctx, i)
	})
	return found, err
}

func (w *worker) checked() verify.Image {
	file := w.machine.Disk
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		slog.Warn("the size of the disk cannot be told", "error", err) // its partition table is not found then
	}
	return verify.Image{Disk: file, Size: size, Mounts: w.machine.Opened().Mounts, Root: w.machine.Opened().Root, Arch: w.machine.Facts.Arch, HostDNS: system.HostNameServers()}
}

// verify fails when something is wrong with the unmounted disk that was not wrong with the base image.
func (w *worker) verify(ctx context.Context) error {
	var after []verify.Finding
	if err := w.machine.Opened().Look(ctx, func() (err error) {
		after, err = w.findings(ctx)
		return err
	}); err != nil {
		return err
	}
	return w.fit(after)
}

// fit fails when something was found that was not wrong with the base image, and warns of the rest.
func (w *worker) fit(found []verify.Finding) error {
	wrong, known := verify.New(w.before, found)
	for _, f := range known {
		slog.Warn(f.String(), "check", f.Check)
	}
	if len(wrong) == 0 {
		return nil
	}
	var lines, hints []string
	for _, f := range wrong {
		lines = append(lines, f.String())
		if f.Hint != "" && !slices.Contains(hints, f.Hint) {
			hints = append(hints, f.Hint)
		}
	}
	return &failure.Failure{
		Code: failure.Failed, Hint: strings.Join(hints, "; "),
		Err: errors.New("the image is not fit to be published:\n  " + strings.Join(lines, "\n  ")),
	}
}
