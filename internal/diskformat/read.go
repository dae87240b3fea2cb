package diskformat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/extent"
	"imagecustomizer/internal/sandbox"
)

// largest is the largest disk that is read: 64 TiB, like the largest VHDX.
const largest = 64 << 40

// layout is what an image's tables say of where the data of its disk lies. Having the kernel copy it is several
// times faster than qemu-img, which reads and writes it, or every hole of it, too.
type layout interface {
	size() int64 // of the disk, in bytes
	// each calls f for the extents of the disk that lie in the file, in the disk's order.
	each(ctx context.Context, f func(from, to, n int64) error) error
}

// errLayout is an image whose tables do not say, for the code here, where all its data lies.
var errLayout = errors.New("only qemu-img can read it")

// Read fills dst, an empty file, with the disk of an image file. Holes stay holes. progress gets
// bytes of the disk's size.
func Read(ctx context.Context, path string, i Image, dst *os.File, progress func(done, total int64)) error {
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	if byName(i.Name).plain {
		return copyPlain(ctx, i, src, dst, progress)
	}
	if err = copyLayout(ctx, i, src, dst, progress); !errors.Is(err, errLayout) {
		return err
	}
	slog.Debug("read by qemu-img", "image", path, "because", err)
	c := qemuImg("convert", "-p", "-m", parallelRequests, "-W", "-t", "unsafe", "-O", raw.driver, i.QEMU(path), sandbox.Path(dst)).Reading(i.Files(path)...)
	c.Stdout = &percentages{size: i.Size, progress: progress}
	return c.Run(ctx)
}

// copyPlain copies what holds data.
func copyPlain(ctx context.Context, i Image, src, dst *os.File, progress func(done, total int64)) error {
	cloned := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil
	if err := dst.Truncate(i.Size); err != nil || cloned {
		return err
	}
	return extent.CopyAll(ctx, dst, src, i.Size, progress)
}

// copyLayout copies the data that an image's tables name.
func copyLayout(ctx context.Context, i Image, src, dst *os.File, progress func(done, total int64)) error {
	fi, err := src.Stat()
	if err != nil {
		return err
	}
	open := byName(i.Name).open
	if open == nil {
		return errLayout
	}
	l, err := open(ctx, src, fi.Size())
	if err != nil {
		return err
	}
	if err := dst.Truncate(l.size()); err != nil {
		return err
	}
	err = l.each(ctx, func(from, to, n int64) error {
		for ; n > 0; from, to, n = from+extent.Chunk, to+extent.Chunk, n-extent.Chunk {
			if err := extent.CopyData(ctx, dst, src, from, to, min(n, extent.Chunk)); err != nil {
				return fmt.Errorf("copy what lies at byte %d of the disk: %w", to, err)
			}
			progress(to, l.size())
		}
		return context.Cause(ctx)
	})
	if err == nil {
		progress(l.size(), l.size())
	}
	return err
}

// DataSize is how many bytes the file of an image occupies: about what its disk holds, or less where
// it is compressed, or more where it is full of zeros.
func DataSize(path string, i Image) (int64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, err
	}
	return min(st.Blocks*512, i.Size), nil
}

// CountData is how many bytes Read will write for an image. It reads the file where it can contain
// blocks of zeros, which are left out; for other formats it is DataSize.
func CountData(ctx context.Context, path string, i Image) (n int64, err error) {
	if !byName(i.Name).plain {
		return DataSize(path, i)
	}
	src, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer src.Close()
	err = extent.Each(ctx, src, i.Size, extent.Block, func(_, size int64) error {
		n += size
		return nil
	})
	return n, err
}
