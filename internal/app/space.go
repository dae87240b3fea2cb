package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/output"
)

// share is what one part of a run needs of a filesystem of the host.
type share struct {
	what  string
	dir   string
	bytes int64
}

// shares is what a run needs. The estimate is a low one: a run that cannot succeed is refused before
// it starts, one that may is not.
type shares []share

// Allowances that are not known before the run, in bytes.
const (
	changes        = 32 << 20 // what any config adds to an image
	packageChanges = 32 << 20 // what packages add: themselves, and kernels' initramfs
	packageWork    = 64 << 20 // indexes and downloads while they are installed
	packageCache   = 16 << 20 // downloads kept for other runs
)

func (f *files) sharesOf(data int64, o CustomizeOptions, j *job, targets []target) shares {
	more := int64(changes)
	if j.Installs {
		more += packageChanges
	}
	grown := data + more
	if !j.NewDisk { // whose size is not known here
		grown = min(grown, j.Format.Size)
	}
	disk := share{"the working disk", o.BuildDir, grown}
	if j.OnBase {
		disk.bytes = min(more, grown)
	}
	list := shares{}
	if j.NewDisk && j.Format.Name != "raw" { // which is opened where it is
		list = append(list, share{"the base image's disk", o.BuildDir, data})
	}
	if j.Installs {
		list = append(list, share{"packages while they are installed", o.BuildDir, packageWork})
	}
	if j.downloads() {
		list = append(list, share{"the package cache", f.cache, packageCache})
	}
	var others []target
	for i, p := range f.pending {
		if p.File() == f.disk {
			disk.dir = filepath.Dir(targets[i].path)
			continue
		}
		others = append(others, targets[i])
	}
	return append(append(append(shares{disk}, list...), liveShares(targets, o.BuildDir, grown)...), outputShares(others, grown)...)
}

// downloads tells whether packages may come from servers; those of folders are never kept.
func (j *job) downloads() bool {
	return j.Installs && (!j.NoBaseRepo || slices.ContainsFunc(slices.Concat(j.RPMSources, j.DebSources), hostfs.IsFile))
}

// liveShares is what live media need besides themselves. The system is packed in its place on an ISO image;
// what is booted over the network gets a copy.
func liveShares(targets []target, dir string, data int64) shares {
	formats := map[bool]int{}
	for _, t := range targets {
		if t.format.Live {
			formats[t.format.Network]++
		}
	}
	if formats[true] == 0 || formats[false] > 0 {
		return nil
	}
	return shares{{"the packed system", dir, data / packedLess}}
}

// packedLess is how many times smaller than its data a compressed output is at best.
const packedLess = 4

// outputShares is what outputs of that much data need. Those of partitions share it.
func outputShares(targets []target, data int64) (list shares) {
	for _, t := range targets {
		need := share{"the " + t.format.Name + " output", filepath.Dir(t.path), data}
		if t.split != "" {
			need.what = "the partitions' files"
		}
		switch {
		case t.partition > 1: // counted with the first
			continue
		case t.split == output.SplitZstd || t.split == "" && t.format.Compressed():
			need.bytes /= packedLess
		}
		list = append(list, need)
	}
	return list
}

// demand is what a run needs of one filesystem.
type demand struct {
	fs    hostfs.Filesystem
	bytes int64
	parts []string
}

func (d demand) String() string {
	return fmt.Sprintf("the filesystem %s has %d MiB free, and the run needs at least %d MiB there (%s)", d.fs, mebi(d.fs.Free), mebi(d.bytes), strings.Join(d.parts, ", "))
}

func mebi(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }

// demands sums the shares up by filesystem.
func (s shares) demands() (list []demand, err error) {
	for _, x := range s {
		fs, err := hostfs.FilesystemOf(existing(x.dir))
		if err != nil {
			return nil, err
		}
		i := 0
		for i < len(list) && !list[i].fs.Same(fs) {
			i++
		}
		if i == len(list) {
			list = append(list, demand{fs: fs})
		}
		list[i].bytes += x.bytes
		list[i].parts = append(list[i].parts, fmt.Sprintf("%d for %s in %s", mebi(x.bytes), x.what, x.dir))
	}
	return list, nil
}

// existing is the nearest folder above a path, or the path itself, that is there already.
func existing(dir string) string {
	for dir = abs(dir); dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
	}
	return dir
}

const spaceHint = "free some space there, or move what needs it: --build-dir, --package-cache-dir and the outputs' paths say where"

// short lists the filesystems that have too little space.
func (s shares) short() (texts []string, err error) {
	list, err := s.demands()
	for _, d := range list {
		if d.fs.Free < d.bytes {
			texts = append(texts, d.String())
		}
	}
	return texts, err
}

// checkSpace fails where a run would not fit, given what it needs for that much data. An image file full of
// zeros is first read in order to know what it really holds: that takes time, but only where the run would
// be refused.
func checkSpace(ctx context.Context, file string, format image.Format, shares func(data int64) shares) (shares, error) {
	data, err := image.DataSize(file, format)
	if err != nil {
		return nil, err
	}
	need := shares(data)
	texts, err := need.short()
	if err != nil || len(texts) == 0 {
		return need, err
	}
	if data, err = image.CountData(ctx, file, format); err != nil {
		return nil, err
	}
	need = shares(data)
	if texts, err = need.short(); err != nil || len(texts) == 0 {
		return need, err
	}
	return need, &Failure{Code: ExitHost, Hint: spaceHint, Err: fmt.Errorf("not enough disk space: %s", strings.Join(texts, "; "))}
}

// nearlyNothing is so little free space that it has run out: a write that did not fit may have been
// larger than what was left.
const nearlyNothing = 2 << 20

// explain names the filesystem that ran full, if that is why a run failed. It must be asked while the
// run's files are still open, since closing them frees their space. A full filesystem shows in many
// ways: a loop device on it, for one, reports a fault of the disk.
func (s shares) explain(err error) error {
	list, statErr := s.demands()
	if err == nil || statErr != nil {
		return err
	}
	var full, others []string
	for _, d := range list {
		if d.fs.Free < nearlyNothing {
			full = append(full, fmt.Sprintf("the filesystem %s is full: the run needed more than the %d MiB estimated for it (%s), or something else has filled it meanwhile", d.fs, mebi(d.bytes), strings.Join(d.parts, ", ")))
		}
		others = append(others, d.String())
	}
	// Our own words for system calls; programs of the image speak of its filesystems, with a capital letter.
	switch text := err.Error(); {
	case len(full) > 0:
	case strings.Contains(text, unix.ENOSPC.Error()):
		full = append(full, "a filesystem was full for a while; by now "+strings.Join(others, "; "))
	case strings.Contains(text, unix.EIO.Error()):
		full = append(full, "a disk is at fault, or a filesystem was full for a while; by now "+strings.Join(others, "; "))
	}
	if len(full) == 0 {
		return err
	}
	failure := *AsFailure(err)
	failure.Hint = spaceHint
	failure.Err = fmt.Errorf("%s: %w", strings.Join(full, "; "), failure.Err)
	return &failure
}
