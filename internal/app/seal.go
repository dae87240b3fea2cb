package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/verity"
)

// part is a step of a list that not every run needs.
type part struct {
	plan.Step
	need bool
}

// needed are the steps that a run needs.
func needed(parts ...part) (list plan.Plan) {
	for _, p := range parts {
		if p.need {
			list = append(list, p.Step)
		}
	}
	return list
}

// sealing are the steps that finish the disk: from here on no program of the image runs, and at the end the disk is
// only read.
func (w *worker) sealing() plan.Plan {
	mounted := needed(
		part{plan.Task(plan.Output, "describe", "list packages and boot entries for the output", w.inspect), slices.ContainsFunc(w.job.Outputs, inParts)},
		part{plan.Task(plan.Seal, "trim", "trim the filesystems", w.trim), true},
	)
	return slices.Concat(mounted, w.media(), needed(
		part{plan.Task(plan.Seal, "close", "unmount the filesystems", w.unmount), true},
		part{plan.Task(plan.Seal, "shrink", "shrink the filesystems", w.shrink), w.shrinksEarly()}, // before they are sealed and looked at
		part{plan.Task(plan.Seal, "settle", "set the times of files to SOURCE_DATE_EPOCH", w.settle), w.job.Fixed},
		part{plan.Task(plan.Seal, "verity", "make the hash trees of dm-verity", w.makeTrees), w.sealed()}, // of what nothing changes any more
		part{plan.Task(plan.Seal, "signing.secureBoot", "sign what is on the EFI system partition", w.signESP), w.signsPrograms()},
		part{plan.Task(plan.Check, "verify", "look at the finished image", w.verify), true},
		part{plan.Task(plan.Check, "check", "check the filesystems", w.checkDisk), true},
		part{plan.Task(plan.Output, "output.artifacts", "write what is to be signed", w.artifacts), w.job.Artifacts != nil},
		part{plan.Task(plan.Seal, "detach", "detach the disk", w.detach), true},
	))
}

// sealed tells whether the image will have dm-verity.
func (w *worker) sealed() bool { return len(w.seals)+len(w.machine.Opened().Sealed) > 0 }

// trim tells the filesystems' free blocks to the disk. In an image with dm-verity, /boot is held from here on.
func (w *worker) trim(context.Context) error {
	if w.sealed() {
		if err := w.machine.Opened().HoldBoot(sandbox.Work + "/boot"); err != nil {
			return err
		}
	}
	if w.job.Fixed {
		if err := w.machine.Opened().Root.Remove(auxCache); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return w.machine.Opened().Trim()
}

// unmount unmounts everything but what is held.
func (w *worker) unmount(context.Context) error { return w.machine.Unmount() }

// checkDisk has the filesystems' own programs look at them.
func (w *worker) checkDisk(ctx context.Context) error { return w.machine.Opened().Check(ctx) }

// makeTrees makes the hash trees and names them in the boot entries. Devices that stay as they were
// are named again, since a run may have generated the entries anew.
func (w *worker) makeTrees(ctx context.Context) error {
	if !w.sealed() { // any more: the system has a new disk
		return nil
	}
	all := slices.DeleteFunc(slices.Clone(w.machine.Opened().Sealed), func(old image.Sealed) bool {
		return slices.ContainsFunc(w.seals, func(s image.Seal) bool { return s.Name == old.Device.Name })
	})
	for _, s := range w.seals {
		sealed, err := w.machine.Opened().Seal(ctx, s)
		if err != nil {
			return err
		}
		all = append(all, sealed)
	}
	w.named = all
	if err := w.nameHashes(all); err != nil {
		return fmt.Errorf("name the hashes in the boot entries: %w", err)
	}
	for _, s := range all {
		w.noteVerity(s)
	}
	if err := w.machine.Opened().ReleaseBoot(); err != nil || !w.job.Fixed {
		return err
	}
	return w.machine.Opened().SettleBoot(ctx, w.began, w.job.Now)
}

// nameHashes writes the kernel arguments for verity devices into the boot entries.
func (w *worker) nameHashes(all []image.Sealed) error {
	var devices []verity.Device
	var r boot.Change
	for _, s := range all {
		devices = append(devices, s.Device)
		r.Drop = append(r.Drop, verity.ArgNames(s.Device.Name)...)
		if s.Device.Name == "root" {
			r.Root = verity.Node(s.Device.Name)
		}
	}
	r.Add = verity.Args(devices)
	if slices.ContainsFunc(devices, verity.Device.Signed) {
		r.Add = append(r.Add, verity.BootArg(w.machine.Opened().BootUUID()))
	}
	scheme, err := boot.Detect(w.machine.Opened().Boot())
	if err != nil {
		return err
	}
	return scheme.Loader().Replace(w.machine.Opened().Boot(), r)
}
