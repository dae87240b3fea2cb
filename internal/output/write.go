package output

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	imagedisk "imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/sandbox"
	"imagecustomizer/internal/tempfile"
)

// parallelRequests is how many reads and writes qemu-img keeps in flight; 16 is its maximum.
const parallelRequests = 16

// Write writes a disk of size bytes to the existing, empty file out, and checks what it wrote. disk
// is the path of the raw disk; or, for every format but raw.zst, a QEMU "json:" description of a disk
// in another format. Both may be /proc/PID/fd/N. progress, which may be nil, gets bytes of size.
//
// Nothing is synced here: qemu-img runs without flushes and Pending.Publish syncs once. Writes stay
// in order (no qemu-img -W), so that the same disk gives the same qcow2 twice.
func Write(ctx context.Context, f Format, disk string, size int64, out string, progress func(done, total int64)) error {
	if f.InParts() {
		return fmt.Errorf("a %s is made of the partitions of a disk, not of the disk as a whole", f)
	}
	if f.Live {
		return fmt.Errorf("%s is made from the files of an image, not from its disk", f)
	}
	if err := f.AcceptsDisk(ctx, disk, size); err != nil {
		return err
	}
	progress = paced(progress)
	err := f.checked(ctx, size, out, f.write(ctx, disk, size, out, progress))
	if err == nil {
		progress(size, size)
	}
	return err
}

// Become makes the file of a raw disk of size bytes an output of another format, which Format.InPlace must
// have allowed when the file was empty. Where it fails, the disk is lost.
func Become(ctx context.Context, f Format, disk *os.File, size int64, progress func(done, total int64)) error {
	if err := f.Accepts(size, imagedisk.SectorSize(disk)); err != nil {
		return err
	}
	return f.checked(ctx, size, sandbox.Path(disk), f.pack(ctx, f.identity, disk, size, disk, paced(progress)))
}

// AcceptsDisk is Accepts for a disk that is given as for Write.
func (f Format) AcceptsDisk(ctx context.Context, disk string, size int64) error {
	sector := 512
	if f.accepts != nil {
		var err error
		if sector, err = sectorSize(ctx, disk); err != nil {
			return err
		}
	}
	return f.Accepts(size, sector)
}

// sectorSize is that of a disk that is given as for Write.
func sectorSize(ctx context.Context, disk string) (int, error) {
	const head = 8 << 10 // the partition table begins in the second sector
	plain := plainFile(disk)
	if plain == "" {
		raw, err := tempfile.Scratch(os.TempDir())
		if err != nil {
			return 0, err
		}
		defer raw.Close()
		plain = sandbox.Path(raw)
		c := hostcmd.New("qemu-img", "dd", "-O", "raw", fmt.Sprintf("bs=%d", head), "count=1", "if="+disk, "of="+plain).Reading(files(disk)...)
		c.Quiet = true
		if err := c.Run(ctx); err != nil {
			return 0, err
		}
	}
	file, err := os.Open(plain)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return imagedisk.SectorSize(file), nil
}

// WriteFrom is Write to p from a disk in any format, given as a path, which is of a raw disk, or as a
// QEMU "json:" description. For raw.zst, which is made from plain bytes, a disk in another format is
// first copied to an unnamed file in the output's folder.
func WriteFrom(ctx context.Context, f Format, source string, size int64, p *Pending, progress func(done, total int64)) error {
	out := sandbox.Path(p.File())
	if plain := plainFile(source); plain != "" && (f.driver == "" || f.pack != nil) {
		return Write(ctx, f, plain, size, out, progress)
	}
	sector, err := sectorSize(ctx, source)
	if err != nil {
		return err
	}
	if f.driver != "" && (sector == 512 || f.accepts == nil) { // qemu-img knows no others
		return Write(ctx, f, source, size, out, progress)
	}
	progress = paced(progress)
	raw, err := tempfile.Scratch(sandbox.Path(p.dir))
	if err != nil {
		return err
	}
	defer raw.Close()
	disk := sandbox.Path(raw)
	err = Write(ctx, formats[0], source, size, disk, func(done, total int64) { progress(done/2, total) })
	if err != nil {
		return err
	}
	return Write(ctx, f, disk, size, out, func(done, total int64) { progress(total-(total-done)/2, total) })
}

// plainFile is the file whose bytes, from the first on, are those of the source; empty if there is none.
func plainFile(source string) string {
	text, described := strings.CutPrefix(source, "json:")
	if !described {
		return source
	}
	var node struct {
		Driver string
		Offset int64
		File   struct{ Driver, Filename string }
	}
	err := json.Unmarshal([]byte(text), &node)
	if err != nil || node.Driver != "raw" || node.Offset != 0 || node.File.Driver != "file" {
		return ""
	}
	return node.File.Filename
}

func (f Format) write(ctx context.Context, disk string, size int64, out string, progress func(done, total int64)) error {
	if f.driver == "" {
		return writeZstd(ctx, disk, size, out, progress)
	}
	if f.pack != nil && !strings.HasPrefix(disk, "json:") {
		return f.pack.write(ctx, f.identity, disk, size, out, progress)
	}
	args := []string{"convert", "-p", "-m", strconv.Itoa(parallelRequests), "-t", "unsafe", "-T", "writeback"}
	if !strings.HasPrefix(disk, "json:") {
		args = append(args, "-f", "raw")
	}
	args = append(args, "-O", f.driver)
	if f.compressed {
		args = append(args, "-c")
	}
	if len(f.options) > 0 {
		args = append(args, "-o", strings.Join(f.options, ","))
	}
	c := hostcmd.New("qemu-img", append(args, disk, out)...).Reading(files(disk)...).Writing(out)
	// Quiet keeps the hundred lines of percentages out of the log and of an error's last lines.
	c.Quiet, c.Stdout = true, &percentages{size: size, progress: progress}
	if err := c.Run(ctx); err != nil || f.Name != "vhd" {
		return err
	}
	return stampVHD(out, f.identity)
}

// files are those that a disk is read from, given as a path or as a QEMU "json:" description.
func files(disk string) []string {
	text, described := strings.CutPrefix(disk, "json:")
	if !described {
		return []string{disk}
	}
	var node struct {
		Driver  string
		File    struct{ Filename string }
		Backing *json.RawMessage
	}
	node.Backing = new(json.RawMessage)
	if json.Unmarshal([]byte(text), &node) != nil || node.Driver == "qcow2" && node.Backing != nil {
		return []string{"/"} // the files that it refers to, which the user allowed, may be anywhere
	}
	return []string{node.File.Filename}
}

// verify checks the written file's structures, and its virtual size as qemu-img sees it.
func (f Format) verify(ctx context.Context, size int64, out string) error {
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
	if f.driver == "" {
		return nil
	}
	got := image.OddVHDX(file, fi.Size())
	if got == 0 {
		got, err = virtualSize(ctx, f.driver, out)
	}
	if err == nil && got != size {
		err = fmt.Errorf("what was written is damaged: qemu-img sees a disk of %d bytes, not %d", got, size)
	}
	return err
}

// WriteLive has make write a live medium to the existing, empty file out, and checks what it wrote.
func WriteLive(ctx context.Context, f Format, out string, make func(ctx context.Context) error) error {
	return f.checked(ctx, 0, out, make(ctx))
}

// checked checks the written file of a disk of size bytes, unless writing it failed, and says what did.
func (f Format) checked(ctx context.Context, size int64, out string, err error) error {
	if err == nil {
		err = f.verify(ctx, size, out)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("cannot write the %s output: %w", f, explain(err, out))
}

func virtualSize(ctx context.Context, driver, path string) (int64, error) {
	c := hostcmd.New("qemu-img", "info", "--output", "json", "-f", driver, path).Reading(path)
	c.Quiet = true
	text, err := c.Output(ctx)
	if err != nil {
		return 0, err
	}
	var info struct {
		VirtualSize int64 `json:"virtual-size"`
	}
	if err := json.Unmarshal([]byte(text), &info); err != nil {
		return 0, fmt.Errorf("cannot read what qemu-img info printed: %w", err)
	}
	return info.VirtualSize, nil
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
