package diskformat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/tempfile"
)

// mib is 1 MiB, the unit of disk sizes.
const mib = 1 << 20

// parallelRequests is how many reads and writes qemu-img keeps in flight; 16 is its maximum.
const parallelRequests = "16"

// sizes are those of a written file and of the disk in it, in bytes.
type sizes struct{ file, disk int64 }

// plain tells whether the source's file begins with the disk's own bytes.
func (s Source) plain() bool { return byName(s.Name).plain }

// sectorSize is what the partition table of a disk counts in.
func (s Source) sectorSize(ctx context.Context) (int, error) {
	if s.Odd {
		return BigSector, nil
	}
	const head = 8 << 10 // the partition table begins in the second sector
	path := s.Path
	if !s.plain() {
		begin, err := tempfile.Scratch(os.TempDir())
		if err != nil {
			return 0, err
		}
		defer begin.Close()
		path = sandbox.Path(begin)
		c := qemuImg("dd", "-O", raw.driver, fmt.Sprintf("bs=%d", head), "count=1", "if="+s.QEMU(s.Path), "of="+path)
		if err := c.Reading(s.Files(s.Path)...).Run(ctx); err != nil {
			return 0, err
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return disk.SectorSize(file), nil
}

// AcceptsDisk is Accepts for the disk of a source.
func (f Format) AcceptsDisk(ctx context.Context, s Source) error {
	sector := 512
	if f.accepts != nil {
		var err error
		if sector, err = s.sectorSize(ctx); err != nil {
			return err
		}
	}
	return f.Accepts(s.Size, sector)
}

// Direct tells whether Write can make the format of a source without a raw copy of it.
func (f Format) Direct(ctx context.Context, s Source) (bool, error) {
	switch {
	case s.plain() && (f.driver == "" || f.pack != nil):
		return true, nil
	case s.Odd || f.driver == "":
		return false, nil
	case f.accepts == nil:
		return true, nil
	}
	sector, err := s.sectorSize(ctx)
	return sector == 512, err // qemu-img knows no others
}

// Write writes the disk of a source to the existing, empty file out. Nothing is synced here, and qemu-img runs
// without flushes. Writes stay in order (no qemu-img -W), so that the same disk gives the same qcow2 twice.
func (f Format) Write(ctx context.Context, s Source, out string, progress func(done, total int64)) error {
	if f.pack != nil && s.plain() {
		return f.pack.write(ctx, f.identity, s.Path, s.Size, out, progress)
	}
	args := []string{"convert", "-p", "-m", parallelRequests, "-t", "unsafe", "-T", "writeback"}
	from := s.QEMU(s.Path)
	if s.Name == raw.Name {
		args, from = append(args, "-f", raw.driver), s.Path
	}
	args = append(args, "-O", f.driver)
	if f.compressed {
		args = append(args, "-c")
	}
	if len(f.options) > 0 {
		args = append(args, "-o", strings.Join(f.options, ","))
	}
	c := hostcmd.New("qemu-img", append(args, from, out)...).Reading(s.Files(s.Path)...).Writing(out)
	// Quiet keeps the hundred lines of percentages out of the log and of an error's last lines.
	c.Quiet, c.Stdout = true, &percentages{size: s.Size, progress: progress}
	if err := c.Run(ctx); err != nil || f.stamp == nil {
		return err
	}
	return f.stamp(out, f.identity)
}

// Become makes the file of a raw disk of size bytes one of the format, which InPlace must have allowed when the
// file was empty. Where it fails, the disk is lost.
func (f Format) Become(ctx context.Context, disk *os.File, size int64, progress func(done, total int64)) error {
	return f.pack(ctx, f.identity, disk, size, disk, progress)
}

// Verify checks the written file's structures and, where it holds a disk of size bytes, what QEMU sees of it.
func (f Format) Verify(ctx context.Context, size int64, out string) error {
	file, err := os.Open(out)
	if err != nil {
		return err
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return err
	}
	if err := f.check(file, sizes{file: fi.Size(), disk: size}); err != nil {
		return fmt.Errorf("what was written is damaged: %w", err)
	}
	if f.driver == "" || f.Live {
		return nil
	}
	got := oddVHDX(file, fi.Size())
	if got == 0 {
		got, err = virtualSize(ctx, []string{out}, "-f", f.driver, out)
	}
	if err == nil && got != size {
		err = fmt.Errorf("what was written is damaged: qemu-img sees a disk of %d bytes, not %d", got, size)
	}
	return err
}

// checkMagic makes a check of the first bytes.
func checkMagic(magic string) func(io.ReaderAt, sizes) error {
	return func(r io.ReaderAt, _ sizes) error {
		got := make([]byte, len(magic))
		if _, err := r.ReadAt(got, 0); err != nil {
			return fmt.Errorf("cannot read the file's first bytes: %w", err)
		}
		if string(got) != magic {
			return fmt.Errorf("the file begins with %q, not %q", got, magic)
		}
		return nil
	}
}

// percentages reads what "qemu-img convert -p" prints: "    (12.34/100%)\r" over and over.
type percentages struct {
	size     int64
	progress func(done, total int64)
	partial  []byte
}

// Write takes output of qemu-img.
func (p *percentages) Write(b []byte) (int, error) {
	p.partial = append(p.partial, b...)
	for {
		line, rest, found := bytes.Cut(p.partial, []byte("\r"))
		if !found {
			const longest = 64 // more than a percentage
			p.partial = p.partial[max(0, len(p.partial)-longest):]
			return len(b), nil
		}
		if percent, ok := parsePercent(string(line)); ok {
			p.progress(int64(math.Round(percent/100*float64(p.size))), p.size)
		}
		p.partial = rest
	}
}

func parsePercent(line string) (float64, bool) {
	number, _, found := strings.Cut(strings.TrimLeft(line, " \n("), "/100%)")
	percent, err := strconv.ParseFloat(number, 64)
	return percent, found && err == nil && percent >= 0 && percent <= 100
}
