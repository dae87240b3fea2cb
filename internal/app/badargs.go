package app

import (
	"context"
	"fmt"
	"log/slog"

	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/kargs"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/verify"
)

// wrongArgs looks whether the kernel arguments of the config name what the image does not have. With new disks, or new
// identifiers, that can be told at the end only.
func (w *worker) wrongArgs(ctx context.Context) (problems []plan.Problem) {
	os := w.job.Config.OS
	if len(w.job.Config.Storage.Disks) > 0 || w.job.Config.Storage.ResetUUIDs != "" || len(os.KernelCommandLine.Extra) == 0 {
		return nil
	}
	var all []string
	items := make([][]string, len(os.KernelCommandLine.Extra))
	for i, text := range os.KernelCommandLine.Extra {
		args, err := kargs.Split(string(text))
		if err != nil {
			slog.Debug("kernel arguments are not looked at", "error", err) // the step says so
			return nil
		}
		items[i], all = args, append(all, args...)
	}
	s := w.job.Config.Scripts
	coming := w.job.Config.AddsPackages() || w.job.Config.Rounds.Used() || len(os.AdditionalFiles)+len(os.AdditionalDirs)+len(s.PostCustomization)+len(s.FinalizeCustomization) > 0
	wrong := verify.WrongArgs(ctx, w.checked(), all, coming)
	for i, args := range items {
		for _, a := range args {
			if text := wrong[a]; text != "" {
				problems = append(problems, plan.Problem{
					Step: booting.AddKernelArgs{}.Name(), Path: fmt.Sprintf("os.kernelCommandLine.extraCommandLine[%d]", i),
					Text: text, Hint: "name what the image has, or remove the argument",
				})
				delete(wrong, a)
			}
		}
	}
	return problems
}
