package app

import (
	"context"
	"fmt"
	"slices"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/verity"
)

// seal finishes the disk: from here on no program of the image runs, and at the end the disk is only
// read.
func (w *worker) seal(ctx context.Context) error {
	for _, p := range []struct {
		name, what string
		need       bool
		run        func(context.Context) error
	}{
		{"close", "trim and unmount the filesystems", true, w.close},
		{"verity", "make the hash trees of dm-verity", w.sealed(), w.makeTrees}, // of what nothing changes any more
		{"verify", "look at the finished image", true, w.verify},
		{"check", "check the filesystems", true, w.disk.Check},
		{"detach", "detach the disk", true, func(context.Context) error { return w.undo.Undo() }},
	} {
		if !p.need {
			continue
		}
		if err := w.phase(ctx, p.name, p.what, p.run); err != nil {
			return err
		}
	}
	return nil
}

// sealed tells whether the image will have dm-verity.
func (w *worker) sealed() bool { return len(w.seals)+len(w.disk.Sealed) > 0 }

// close trims and unmounts everything but, in an image with dm-verity, /boot.
func (w *worker) close(context.Context) error {
	if w.sealed() {
		if err := w.disk.HoldBoot(sandbox.Work + "/boot"); err != nil {
			return err
		}
	}
	if err := w.disk.Trim(); err != nil {
		return err
	}
	return w.unmount()
}

// unmount undoes everything but attaching the disk.
func (w *worker) unmount() error {
	attached := w.undo[:1] // closing the disk
	w.undo = w.undo[1:]
	if err := w.undo.Undo(); err != nil {
		return err
	}
	w.undo = attached
	return w.disk.Unmount()
}

// makeTrees makes the hash trees and names them in the boot entries. Devices that stay as they were
// are named again, since a run may have generated the entries anew.
func (w *worker) makeTrees(ctx context.Context) error {
	var devices []verity.Device
	for _, kept := range w.disk.Sealed {
		if !slices.ContainsFunc(w.seals, func(s image.Seal) bool { return s.Name == kept.Device.Name }) {
			devices = append(devices, kept.Device)
		}
	}
	for _, s := range w.seals {
		d, err := w.disk.Seal(ctx, s)
		if err != nil {
			return err
		}
		devices = append(devices, d)
	}
	r := boot.Replacement{Add: verity.Args(devices)}
	for _, d := range devices {
		r.Drop = append(r.Drop, verity.ArgNames(d.Name)...)
		if d.Name == "root" {
			r.Root = verity.Node(d.Name)
		}
	}
	scheme, err := boot.Detect(w.disk.Boot())
	if err == nil {
		err = boot.Replace(w.disk.Boot(), scheme, r)
	}
	if err != nil {
		return fmt.Errorf("name the hashes in the boot entries: %w", err)
	}
	return w.disk.ReleaseBoot()
}
