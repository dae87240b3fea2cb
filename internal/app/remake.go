package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"reflect"

	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/live"
	"imagecustomizer/internal/feature/scripts"
	"imagecustomizer/internal/feature/secureboot"
	"imagecustomizer/internal/feature/storage"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/step"
)

// onlyAdds tells whether a medium can be made from another as it is, with kernel arguments and files
// added: nothing of the system changes, and no other format is written.
func onlyAdds(c *step.Config, outputs []*job.Output) bool {
	for _, t := range outputs {
		if t.Format.Name != "iso" {
			return false
		}
	}
	kept := live.ISO{KernelCommandLine: c.ISO.KernelCommandLine, AdditionalFiles: c.ISO.AdditionalFiles}
	for _, section := range [][2]any{{c.OS, step.OS{}}, {c.Signing, secureboot.Signing{}}, {c.Scripts, scripts.Scripts{}}, {c.Storage, storage.Storage{}}, {c.ISO, kept}} {
		if !reflect.DeepEqual(section[0], section[1]) {
			return false
		}
	}
	return true
}

// unpack fills the working disk from an ISO image.
func (w *worker) unpack(ctx context.Context, file *os.File) (err error) {
	dir := sandbox.Work + "/unpacked"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	saved, err := liveos.Unpack(ctx, w.job.Image.Path, file, dir, w.job.Seed.UUID)
	w.mediumArgs, w.mediumFiles = saved.KernelArgs, saved.Files
	w.job.Config.ISO.Keep(saved)
	return err
}

// verifyMedium looks whether an ISO image is whole.
func verifyMedium(ctx context.Context, file string, stdout io.Writer) error {
	if err := liveos.Check(ctx, file); err != nil {
		return &failure.Failure{Code: failure.Failed, Err: err}
	}
	_, err := fmt.Fprintf(stdout, "%s: nothing wrong was found\n", file)
	return err
}

// remake writes ISO images from one.
func (w *worker) remake(ctx context.Context) error {
	spec := step.Media(w.job.Config, &machine.Facts{}, feature.Inputs{Outputs: []string{"iso"}})[0]
	what := "write " + w.job.Image.Path + " anew, with what the section iso adds"
	var p plan.Plan
	for _, o := range w.job.Outputs {
		p = append(p, plan.Task(plan.Output, o.Step(), what, func(ctx context.Context) error {
			file := sandbox.Path(w.job.File(o.Resource))
			return output.WriteLive(ctx, o.Format, file, func(ctx context.Context) error {
				if err := liveos.Remake(ctx, w.job.Image.Path, file, spec, sandbox.Work+"/tmp", w.job.Now); err != nil {
					return err
				}
				return liveos.Check(ctx, file)
			})
		}))
	}
	if w.job.DryRun {
		w.show(p)
		return nil
	}
	return w.run(ctx, p...)
}
