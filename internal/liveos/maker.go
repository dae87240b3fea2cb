package liveos

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/rootfs"
)

// Maker makes the live media of a run: what takes long with Prepare, while the image's programs can still
// be run, and the media with Write, when nothing changes any more.
type Maker struct {
	Now time.Time
	// Place is the file of an ISO image that is to be written, if any. The system is packed into its place
	// there at once, and so takes no space besides.
	Place string

	m        *machine.Machine
	dir      string // folder for temporary files
	media    []*stage
	payloads []*payload
}

// Prepare stages the media, and makes with the image's own programs an initramfs for every kernel, and
// GRUB for BIOS; beside them it packs the system, which does not hold those.
func (mk *Maker) Prepare(ctx context.Context, m *machine.Machine, specs []Spec) (err error) {
	scratch, err := m.Scratch()
	if err != nil {
		return err
	}
	mk.m, mk.dir = m, filepath.Join(scratch, "live")
	work, err := emptyFolder(scratch, "live")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, work.Close()) }()
	if err := errors.Join(work.MkdirAll("view", 0o755), mk.stageAll(ctx, work, withoutSELinux(ctx, m, specs))); err != nil {
		return err
	}
	view := filepath.Join(mk.dir, "view")
	err = m.Image.WithView(view, func() error {
		packed := make(chan error)
		go func() { packed <- mk.packAll(ctx, view) }()
		return errors.Join(mk.withPrograms(ctx, work, specs), <-packed)
	})
	for _, st := range mk.media {
		err = errors.Join(err, st.complete(work))
	}
	return err
}

// stageAll stages the media. One of them may have its payload in place.
func (mk *Maker) stageAll(ctx context.Context, work *rootfs.Root, specs []Spec) error {
	for _, s := range specs {
		st, err := mk.stage(ctx, work, s)
		if err != nil {
			return err
		}
		if mk.Place != "" && st.inPlace() {
			st.payload.file, st.payload.at = mk.Place, st.at
			mk.Place = ""
		}
	}
	return nil
}

// stage fills the folder of a medium. What is booted over the network and finds its system on a medium
// has that one too.
func (mk *Maker) stage(ctx context.Context, work *rootfs.Root, s Spec) (*stage, error) {
	st, err := newStage(mk.m, s, work, fmt.Sprintf("medium%d", len(mk.media)))
	if err != nil {
		return nil, err
	}
	mk.media = append(mk.media, st)
	if err := st.fill(); err != nil {
		return nil, err
	}
	if s.downloads() {
		s.Network = false
		st.iso, err = mk.stage(ctx, work, s)
		return st, err
	}
	st.payload = mk.payload(s)
	if s.Network {
		return st, nil
	}
	return st, st.layOut(ctx, mk.Now)
}

// Write writes the medium of a format to a file.
func (mk *Maker) Write(ctx context.Context, format, out string, compressed bool) error {
	for _, st := range mk.media {
		switch {
		case st.spec.Format != format:
			continue
		case st.spec.Network:
			return mk.net(ctx, st, out, compressed)
		}
		return mk.iso(ctx, st, out)
	}
	return fmt.Errorf("no medium of the format %s was prepared", format)
}
