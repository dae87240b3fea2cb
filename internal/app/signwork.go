package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"imagecustomizer/internal/chain"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/signing"
)

// signsPrograms tells whether programs are to be signed.
func (w *worker) signsPrograms() bool { return w.job.Signing.SecureBoot != nil }

// signsBy signs programs by asking the supervisor, which has the keys.
func (w *worker) signsBy() *signing.Maker {
	if !w.signsPrograms() {
		return nil
	}
	ask := &programAsker{send: w.send, file: w.job.Of(job.ToSign)}
	return &signing.Maker{Policy: *w.job.Signing.SecureBoot, Ask: ask.ask, Log: func(text string, args ...any) { slog.Info(text, args...) }}
}

// programAsker hands programs over in a file.
type programAsker struct {
	send *job.Sender
	file *os.File
	mu   sync.Mutex
	end  int64 // of what is in the file
}

func (a *programAsker) ask(ctx context.Context, kind, name string, f *os.File) ([]byte, error) {
	a.mu.Lock()
	at := a.end
	n, err := io.Copy(io.NewOffsetWriter(a.file, at), io.NewSectionReader(f, 0, 1<<62))
	a.end += n
	a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return a.send.Ask(ctx, job.Ask{Kind: kind, Path: name, At: at, Size: n})
}

// kinds are those of programs that are signed on an EFI system partition.
func (w *worker) kinds(list []chain.Program) (kinds []chain.Kind) {
	for _, k := range w.job.Signing.SecureBoot.Kinds {
		kinds = append(kinds, chain.Kind(k))
	}
	if len(kinds) == 0 {
		kinds = chain.Usual(list)
	}
	return kinds
}

// mayChange tells whether the run may bring or take away what boots the image.
func (w *worker) mayChange() bool {
	c := w.job.Config
	return w.job.NewDisk() || w.job.Installs() || c.OS.Bootloader.Used() || len(c.Scripts.PostCustomization)+len(c.Scripts.FinalizeCustomization) > 0 ||
		c.OS.AdditionalFiles.Used() || c.OS.AdditionalDirs.Used()
}

// checkSigning finds out what there is to sign on the EFI system partition, says so to the supervisor, and finds what
// cannot be signed.
func (w *worker) checkSigning(ctx context.Context) (problems []plan.Problem) {
	if !w.signsPrograms() {
		return nil
	}
	add := func(hint, format string, args ...any) {
		problems = append(problems, plan.Problem{Step: "signing", Path: "signing.secureBoot", Text: fmt.Sprintf(format, args...), Hint: hint})
	}
	d, list := w.machine.Opened(), w.announced(w.machine.Root)
	esp := d.ESP()
	if esp == nil && !w.job.NewDisk() {
		add("", "the image has no EFI system partition: nothing of it starts with Secure Boot")
		return problems
	}
	err := d.LookAtESP(ctx, func(mounts []image.Mounted) {
		i := slices.IndexFunc(mounts, func(m image.Mounted) bool { return esp != nil && m.Volume.Number == esp.Number })
		if i < 0 || w.mayChange() {
			return
		}
		if err := d.Root.WithSub(mounts[i].Path, func(root *rootfs.Root) error {
			found, err := w.examine(root, add)
			for _, p := range found {
				list = append(list, job.Announced{Kind: string(p.Kind), Path: onPartition(p.Path), Count: 1})
			}
			return err
		}); err != nil {
			add("", "%v", err)
		}
	})
	if err != nil {
		add("", "%v", err)
	}
	if len(problems) == 0 && !w.job.DryRun {
		w.send.Announce(list)
	}
	return problems
}

// onPartition is how a path on the EFI system partition is shown, so that it is not taken for one of the system.
func onPartition(name string) string { return strings.TrimPrefix(name, "/") }

// announced is what may be signed in the tree, and on an EFI system partition of which it is not known yet what it will
// hold.
func (w *worker) announced(root *rootfs.Root) (list []job.Announced) {
	add := func(k chain.Kind, count int, patterns ...string) {
		for _, p := range patterns {
			list = append(list, job.Announced{Kind: string(k), Path: p, Count: count})
		}
	}
	chosen := func(k chain.Kind) bool {
		return len(w.job.Signing.SecureBoot.Kinds) == 0 && k != chain.Shim || slices.Contains(w.job.Signing.SecureBoot.Kinds, string(k))
	}
	if !w.mayChange() {
		files, _ := chain.KernelFiles(root) // what cannot be read is said by the step
		if chosen(chain.Kernel) {
			add(chain.Kernel, 1, files...)
		}
		return list
	}
	const some = 16
	for k, patterns := range map[chain.Kind][]string{
		chain.Kernel: {"/boot/vmlinuz-*", "/lib/modules/*/vmlinuz", "/usr/lib/modules/*/vmlinuz", "*/*/linux", "vmlinuz-*"},
		chain.Loader: {"EFI/*/*"}, chain.Shim: {"EFI/*/*"},
		chain.UKI: {"EFI/Linux/*", "EFI/BOOT/*"}, chain.Addon: {"EFI/Linux/*/*", "loader/addons/*"},
	} {
		if chosen(k) {
			add(k, some, patterns...)
		}
	}
	return list
}

// examine is what is to be signed on an EFI system partition. What is wrong with it goes to bad.
func (w *worker) examine(esp *rootfs.Root, bad func(hint, format string, args ...any)) ([]chain.Program, error) {
	all, err := chain.Programs(esp)
	if err != nil {
		return nil, err
	}
	maker, err := w.makerFor(esp)
	if err != nil {
		return nil, err
	}
	kinds := w.kinds(all)
	found := chain.Targets(all, w.machine.Facts.Arch, w.machine.Facts.OSRelease["ID"], kinds)
	for _, k := range kinds {
		if k != chain.Kernel && len(w.job.Signing.SecureBoot.Kinds) > 0 && !slices.ContainsFunc(found, func(p chain.Program) bool { return p.Kind == k }) {
			bad("the kinds that there are: "+present(all), "there is nothing of the kind %q on the EFI system partition that this image starts by", k)
		}
	}
	if len(chain.Started(all, w.machine.Facts.Arch)) == 0 {
		bad("", "there is no boot loader on the EFI system partition that firmware starts by itself")
	}
	for _, p := range found {
		if err := esp.WithFile(p.Path, maker.Check); err != nil {
			bad("", "%s cannot be signed: %v", onPartition(p.Path), err)
		}
	}
	return found, w.revoked(esp, all, bad)
}

// revoked reports programs that shim would not start.
func (w *worker) revoked(esp *rootfs.Root, all []chain.Program, bad func(hint, format string, args ...any)) error {
	automatic, latest, err := chain.Levels(esp, all)
	if err != nil || w.job.Signing.SecureBoot.IgnoreSBAT {
		return err
	}
	for _, r := range chain.Revoked(chain.Started(all, w.machine.Facts.Arch), automatic, latest) {
		if r.Asked {
			slog.Warn("shim would not start this if it were asked for its newest revocations: "+r.Why, "file", onPartition(r.Path))
			continue
		}
		bad("install a newer package of the boot loader, or write \"sbat: ignore\" for machines whose shim is older", "shim does not start %s, signed or not: %s", onPartition(r.Path), r.Why)
	}
	return nil
}

func present(all []chain.Program) string {
	var names []string
	for _, p := range all {
		if n := string(p.Kind); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return strings.Join(names, ", ")
}

// makerFor is the maker that knows whom the shims of an EFI system partition trust.
func (w *worker) makerFor(esp *rootfs.Root) (*signing.Maker, error) {
	m := w.signsBy()
	vendors, err := chain.Vendors(esp)
	m.Trusted = append(signing.MicrosoftBootCAs(), vendors...)
	return m, err
}

// signESP signs the programs on the EFI system partition of the finished disk.
func (w *worker) signESP(ctx context.Context) error {
	d := w.machine.Opened()
	esp := d.ESP()
	if esp == nil {
		return errors.New("the image has no EFI system partition: nothing of it starts with Secure Boot")
	}
	return d.Write(ctx, *esp, func(root *rootfs.Root) error {
		var wrong []error
		found, err := w.examine(root, func(hint, format string, args ...any) {
			wrong = append(wrong, &failure.Failure{Hint: hint, Err: fmt.Errorf(format, args...)})
		})
		if err := errors.Join(append(wrong, err)...); err != nil {
			return err
		}
		maker, err := w.makerFor(root)
		if err != nil {
			return err
		}
		for _, p := range found {
			signed, err := maker.Sign(ctx, root, p.Path, onPartition(p.Path), string(p.Kind))
			if err == nil && signed && w.job.Fixed {
				err = root.Chtimes(p.Path, w.job.Now)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
