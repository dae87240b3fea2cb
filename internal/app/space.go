package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/hostfs"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/pkgmgr"
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

// sharesOf is what a run needs where the disk of the base image has that much data.
func sharesOf(data int64, buildDir string, j *job.Job) shares {
	more := int64(changes)
	if j.Installs() {
		more += packageChanges
	}
	grown := data + more
	if !j.NewDisk() { // whose size is not known here
		grown = min(grown, j.Image.Format.Size)
	}
	disk := share{"the working disk", buildDir, grown}
	if j.Has(job.Changes) {
		disk.bytes = min(more, grown)
	}
	list := shares{}
	if j.NewDisk() && j.Image.Format.Name != "raw" { // which is opened where it is
		list = append(list, share{"the base image's disk", buildDir, data})
	}
	if j.Installs() {
		list = append(list, share{"packages while they are installed", buildDir, packageWork})
	}
	if downloads(j) {
		list = append(list, share{"the package cache", j.Path(job.Cache), packageCache})
	}
	var others []*job.Output
	for _, o := range j.Outputs {
		switch {
		case j.DryRun:
		case o.InPlace():
			disk.dir = filepath.Dir(o.Path)
		default:
			others = append(others, o)
		}
	}
	return slices.Concat(shares{disk}, list, liveShares(j.Outputs, buildDir, grown), outputShares(others, grown))
}

// downloads tells whether packages may come from servers; those of folders are never kept.
func downloads(j *job.Job) bool {
	isFile := func(s pkgmgr.Source) bool { return hostfs.IsFile(s.Path) }
	return j.Installs() && (!j.NoBaseRepos || slices.ContainsFunc(slices.Concat(j.RPMSources, j.DebSources), isFile))
}

// liveShares is what live media need besides themselves. The system is packed in its place on an ISO image;
// what is booted over the network gets a copy.
func liveShares(targets []*job.Output, dir string, data int64) shares {
	formats := map[bool]int{}
	for _, t := range targets {
		if t.Format.Live {
			formats[t.Format.Network]++
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
func outputShares(targets []*job.Output, data int64) (list shares) {
	for _, t := range targets {
		need := share{"the " + t.Format.Name + " output", filepath.Dir(t.Path), data}
		if t.Split != "" {
			need.what = "the partitions' files"
		}
		switch {
		case t.Seed: // next to nothing
			continue
		case t.Partition > 1: // counted with the first
			continue
		case t.Split == output.SplitZstd || t.Split == "" && t.Format.Compressed():
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
func checkSpace(ctx context.Context, file string, format diskformat.Image, shares func(data int64) shares) (shares, error) {
	data, err := diskformat.DataSize(file, format)
	if err != nil {
		return nil, err
	}
	need := shares(data)
	texts, err := need.short()
	if err != nil || len(texts) == 0 {
		return need, err
	}
	if data, err = diskformat.CountData(ctx, file, format); err != nil {
		return nil, err
	}
	need = shares(data)
	if texts, err = need.short(); err != nil || len(texts) == 0 {
		return need, err
	}
	return need, &failure.Failure{Code: failure.Host, Hint: spaceHint, Err: fmt.Errorf("not enough disk space: %s", strings.Join(texts, "; "))}
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
	switch {
	case len(full) > 0:
	case failure.Has(err, failure.NoSpace):
		full = append(full, "a filesystem was full for a while; by now "+strings.Join(others, "; "))
	case failure.Has(err, failure.IO):
		full = append(full, "a disk is at fault, or a filesystem was full for a while; by now "+strings.Join(others, "; "))
	}
	if len(full) == 0 {
		return err
	}
	return &failure.Failure{Hint: spaceHint, Err: fmt.Errorf("%s: %w", strings.Join(full, "; "), err)}
}
