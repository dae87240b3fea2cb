// Package output writes the customized disk to the files a user asked for. An output appears under
// its name complete, synced and checked, or not at all.
package output

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/tempfile"
)

// mib is 1 MiB.
const mib = 1 << 20

// Write writes the disk of a source to the existing, empty file out, and checks what it wrote. Both may be
// /proc/PID/fd/N. progress, which may be nil, gets bytes of the disk. Pending.Publish syncs it later.
func Write(ctx context.Context, f diskformat.Format, s diskformat.Source, out string, progress func(done, total int64)) error {
	if f.InParts() {
		return fmt.Errorf("a %s is made of the partitions of a disk, not of the disk as a whole", f)
	}
	if f.Live {
		return fmt.Errorf("%s is made from the files of an image, not from its disk", f)
	}
	if err := f.AcceptsDisk(ctx, s); err != nil {
		return err
	}
	progress = diskformat.Paced(progress)
	err := checked(ctx, f, s.Size, out, f.Write(ctx, s, out, progress))
	if err == nil {
		progress(s.Size, s.Size)
	}
	return err
}

// Become makes the file of a raw disk of size bytes an output of another format, which Format.InPlace must
// have allowed when the file was empty. Where it fails, the disk is lost.
func Become(ctx context.Context, f diskformat.Format, file *os.File, size int64, progress func(done, total int64)) error {
	if err := f.Accepts(size, disk.SectorSize(file)); err != nil {
		return err
	}
	return checked(ctx, f, size, sandbox.Path(file), f.Become(ctx, file, size, diskformat.Paced(progress)))
}

// WriteFrom is Write to p. What is made from plain bytes only is made by way of an unnamed file in the output's
// folder, where the source is of another format.
func WriteFrom(ctx context.Context, f diskformat.Format, s diskformat.Source, p *Pending, progress func(done, total int64)) error {
	out := sandbox.Path(p.File())
	direct, err := f.Direct(ctx, s)
	if err != nil {
		return err
	}
	if direct {
		return Write(ctx, f, s, out, progress)
	}
	progress = diskformat.Paced(progress)
	raw, err := tempfile.Scratch(sandbox.Path(p.dir))
	if err != nil {
		return err
	}
	defer raw.Close()
	if err := diskformat.Read(ctx, s.Path, s.Image, raw, func(done, total int64) { progress(done/2, total) }); err != nil {
		return writeFailed(ctx, f, out, err)
	}
	return Write(ctx, f, diskformat.Raw(sandbox.Path(raw), s.Size), out, func(done, total int64) { progress(total-(total-done)/2, total) })
}

// WriteLive has make write a live medium to the existing, empty file out, and checks what it wrote.
func WriteLive(ctx context.Context, f diskformat.Format, out string, make func(ctx context.Context) error) error {
	return checked(ctx, f, 0, out, make(ctx))
}

// checked checks the written file of a disk of size bytes, unless writing it failed, and says what did.
func checked(ctx context.Context, f diskformat.Format, size int64, out string, err error) error {
	if err == nil {
		err = f.Verify(ctx, size, out)
	}
	if err == nil {
		return nil
	}
	return writeFailed(ctx, f, out, err)
}

// writeFailed says which output could not be written.
func writeFailed(ctx context.Context, f diskformat.Format, out string, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("cannot write the %s output: %w", f, explain(err, out))
}

// explain adds what to do to errors that the host's disk causes.
func explain(err error, out string) error {
	text := err.Error()
	switch {
	case errors.Is(err, unix.ENOSPC), strings.Contains(text, "No space left on device"):
		return fmt.Errorf("the filesystem of the output folder is full%s: free some space there, or write to another folder: %w", free(out), err)
	case errors.Is(err, unix.EFBIG), strings.Contains(text, "File too large"):
		return fmt.Errorf("the filesystem of the output folder, or a file size limit (ulimit -f), does not allow so large a file: %w", err)
	}
	return err
}

func free(path string) string {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return ""
	}
	return fmt.Sprintf(" (%d of %d MiB free)", st.Bavail*uint64(st.Bsize)/mib, st.Blocks*uint64(st.Bsize)/mib)
}
