package output

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/extent"
	"imagecustomizer/internal/sandbox"
)

// Split is a way to write each partition of a disk to a file of its own.
type Split string

// The ways.
const (
	SplitRaw  Split = "raw"
	SplitZstd Split = "raw-zstd"
)

// MaxSplit is the largest partition number that a split output can have: a GPT has 128 entries.
const MaxSplit = 128

// ParseSplit returns the way of that name.
func ParseSplit(name string) (Split, error) {
	if s := Split(name); s == SplitRaw || s == SplitZstd {
		return s, nil
	}
	return "", fmt.Errorf("unknown format of split partitions %q: allowed are %s, %s", name, SplitRaw, SplitZstd)
}

// Path is the file of the partition with that number; image is the file of the disk as a whole.
func (s Split) Path(image string, number int) string {
	ending := ".raw"
	if s == SplitZstd {
		ending = ".raw.zst"
	}
	return fmt.Sprintf("%s_%d%s", strings.TrimSuffix(image, filepath.Ext(image)), number, ending)
}

// Write writes a partition to an empty file. progress gets bytes of the partition.
func (s Split) Write(ctx context.Context, from extent.View, p disk.Partition, out *os.File, progress func(done, total int64)) error {
	report := diskformat.Paced(progress)
	var err error
	if s == SplitZstd {
		err = deflator{level: usualLevel}.write(ctx, from, p.Start, p.Size, &sink{file: out}, func(done int64) { report(done, p.Size) })
	} else {
		err = copyExtent(ctx, out, from, p.Start, p.Size, func(done int64) { report(done, p.Size) })
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("cannot write partition %d: %w", p.Number, explain(err, sandbox.Path(out)))
	}
	return nil
}

// copyChunk is how much is copied between two looks at the context.
const copyChunk = 128 * mib

// copyExtent copies a range of a file to the beginning of an empty one, leaving holes out.
func copyExtent(ctx context.Context, out *os.File, in extent.View, at, size int64, progress func(done int64)) error {
	if err := out.Truncate(size); err != nil {
		return err
	}
	for pos, end := at, at+size; pos < end; {
		data, hole, err := extent.Next(int(in.Fd()), pos, end)
		if err != nil {
			return err
		}
		for hole > data {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			from, stop := in.In(data, min(hole, data+copyChunk))
			if from != nil {
				if err := extent.Copy(out, from, data, data-at, stop-data); err != nil {
					return err
				}
			}
			data = stop
			progress(data - at)
		}
		pos = max(hole, data)
	}
	return nil
}
