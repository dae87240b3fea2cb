package image

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
)

// preen sets right what an unclean shutdown left in an ext filesystem, above all its journal. It is done by a
// program in a fence, so that the kernel need not do it with what somebody may have made. Other filesystems
// are set right by mounting them.
func (d *Disk) preen(ctx context.Context, v disk.Volume) error {
	if !strings.HasPrefix(v.Content.Type, "ext") || d.readOnly {
		return nil
	}
	const repaired, restart = 1, 2 // bits of the exit status
	device := d.device(v.Number)
	err := hostcmd.New("e2fsck", "-p", device).Writing(device).Run(ctx)
	switch status := hostcmd.ExitStatus(err); {
	case err == nil:
		return nil
	case status > 0 && status&^(repaired|restart) == 0:
		slog.Warn("a filesystem of the image had not been unmounted, or had errors; it was repaired", "partition", v.Number)
		return nil
	}
	return fmt.Errorf("the filesystem is damaged, and e2fsck does not dare to repair it by itself: %w", err)
}

// replay is preen for a filesystem of which it is not known yet whether it may be written: only a journal that
// has to be replayed is, which no sealed one has.
func (d *Disk) replay(ctx context.Context, v disk.Volume) error {
	if e, err := readExt(d.file, v); err != nil || !e.Recover {
		return nil
	}
	return d.preen(ctx, v)
}
