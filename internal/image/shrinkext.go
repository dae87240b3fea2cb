package image

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/sandbox"
)

// shrinkExt has resize2fs estimate the least size. A journal that would have to move is taken away before and
// made anew afterwards, which neither reads nor writes it.
func (d *Disk) shrinkExt(ctx context.Context, file *os.File, v disk.Volume, headroom int64) error {
	dev, journal := d.device(v.Number), int64(0) // the size of the one taken away
	e, err := readExt(file, v)
	if err != nil {
		return err
	}
	if e.Clusters { // whose free ones resize2fs miscounts
		slog.Info("left as it is: the filesystem allocates clusters (bigalloc)", "partition", v.Number)
		return nil
	}
	// What the kernel has just unmounted without having found anything wrong is checked when the disk is finished.
	if !e.Clean || !d.mounted(v) {
		if err := checkExt(ctx, dev); err != nil {
			return err
		}
	}
	for range extRounds {
		has, err := readExt(file, v)
		if err != nil {
			return err
		}
		least, err := extLeast(ctx, dev)
		if err != nil {
			return err
		}
		size := whole(max(least*has.Block+journal, has.Used+freeToJournal*journal) + headroom)
		if size >= has.Size {
			break
		}
		if has.Journal.Start >= size && size >= has.Used+(freeToJournal-1)*has.Journal.Size {
			if err := hostcmd.New("tune2fs", "-O", "^has_journal", dev).Writing(dev).Run(ctx); err != nil {
				return err
			}
			journal = has.Journal.Size
		}
		if err := hostcmd.New("resize2fs", "-f", dev, strconv.FormatInt(size/has.Block, 10)).Writing(dev).Run(ctx); err != nil {
			return err
		}
	}
	return d.makeJournal(ctx, file, v, journal)
}

func readExt(file *os.File, v disk.Volume) (disk.Ext, error) {
	return disk.ReadExt(io.NewSectionReader(file, v.Start, v.Size))
}

// corrected is the exit status of e2fsck after it mended something.
const corrected = 1

func checkExt(ctx context.Context, dev string) error {
	if err := hostcmd.New("e2fsck", "-fy", dev).Writing(dev).Run(ctx); err != nil && hostcmd.ExitStatus(err) != corrected {
		return err
	}
	return nil
}

// makeJournal makes a journal anew. In a file, other than on a device, tune2fs makes zeros without writing
// them.
func (d *Disk) makeJournal(ctx context.Context, file *os.File, v disk.Volume, size int64) error {
	if size == 0 {
		return nil
	}
	if err := d.loop.Sync(); err != nil {
		return err
	}
	at := fmt.Sprintf("%s?offset=%d", sandbox.Path(file), v.Start)
	tune := hostcmd.New("tune2fs", "-J", fmt.Sprintf("size=%d", size>>20), at)
	if err := tune.Run(ctx); err != nil {
		return err
	}
	return disk.Forget(d.device(v.Number))
}

const (
	// extRounds bounds how often shrinking an ext filesystem is tried again: the estimate counts on tables
	// that a smaller filesystem does not need.
	extRounds = 3
	// freeToJournal is how many times the size of a journal must be free for tune2fs to make it.
	freeToJournal = 2
)

// extLeast is resize2fs's estimate of the least size of an ext filesystem, in its blocks.
func extLeast(ctx context.Context, dev string) (int64, error) {
	text, err := hostcmd.New("resize2fs", "-P", dev).Writing(dev).Output(ctx)
	if err != nil {
		return 0, err
	}
	_, number, _ := strings.Cut(text, ": ")
	least, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("resize2fs -P printed %q: %w", text, err)
	}
	return least, nil
}
