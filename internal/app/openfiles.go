package app

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"imagecustomizer/internal/job"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/tempfile"
)

// openedFiles are what a run has open besides its outputs. None of them has a name.
type openedFiles struct {
	disk    *os.File // working disk; nil where an output is
	base    *os.File // disk of the base image, where the working disk is a new one
	scratch *os.File // backing of the worker's scratch filesystem
	outputs []*job.Output

	artifacts *job.Artifacts // nil where there are none
	guard     *guard         // nil where nothing is signed
}

// openFiles makes the files that a job writes and hands them to it.
func openFiles(o CustomizeOptions, j *job.Job) (*openedFiles, error) {
	f := &openedFiles{outputs: j.Outputs}
	if err := f.open(o, j); err != nil {
		f.discard()
		return nil, err
	}
	return f, nil
}

func (f *openedFiles) open(o CustomizeOptions, j *job.Job) (err error) {
	if err := os.MkdirAll(o.BuildDir, 0o755); err != nil {
		return fmt.Errorf("cannot make the build folder: %w", err)
	}
	cache, err := cacheFolder(o.PackageCache)
	if err != nil {
		return err
	}
	j.Show(job.Read, j.Image.Path)
	j.Show(job.Cache, cache)
	if f.scratch, err = tempfile.Scratch(o.BuildDir); err != nil {
		return err
	}
	j.Hand(job.Scratch, f.scratch, "ext4")
	if err := f.openToSign(o.BuildDir, j); err != nil {
		return err
	}
	if j.NewDisk() {
		if f.base, err = tempfile.Scratch(o.BuildDir); err != nil {
			return err
		}
		j.Hand(job.Former, f.base, "raw")
	}
	return f.openOutputs(o, j)
}

// openOutputs makes the outputs, one of which the working disk becomes if that is possible, and the working disk.
func (f *openedFiles) openOutputs(o CustomizeOptions, j *job.Job) (err error) {
	if !j.DryRun {
		for _, t := range j.Outputs {
			if err := t.Create(); err != nil {
				return err
			}
		}
		if err := f.openArtifacts(j); err != nil {
			return err
		}
	}
	inPlace := diskOf(j.Outputs)
	if inPlace != nil {
		inPlace.Resource = j.Hand(job.Disk, inPlace.Pending.File(), "raw")
	} else {
		if f.disk, err = tempfile.Scratch(o.BuildDir); err != nil {
			return err
		}
		role := job.Disk
		if !j.NewDisk() && onBase(j.Image.Format, j.Outputs) {
			role = job.Changes
		}
		j.Hand(role, f.disk, "raw")
	}
	for _, t := range j.Outputs {
		if t.Pending != nil && t != inPlace {
			t.Resource = j.Hand(job.Written, t.Pending.File(), t.String())
		}
	}
	return nil
}

// openArtifacts makes the directory of artifacts, if there is to be one.
func (f *openedFiles) openArtifacts(j *job.Job) (err error) {
	if j.Artifacts == nil {
		return nil
	}
	f.artifacts = j.Artifacts
	if j.Artifacts.Pending, err = output.CreateFolder(j.Artifacts.Path); err != nil {
		return err
	}
	j.Artifacts.Resource = j.Hand(job.Written, j.Artifacts.Pending.File(), "artifacts")
	return nil
}

// diskOf is the output that the working disk becomes when everything else is written, a raw one before
// others; nil where no output can be made so.
func diskOf(list []*job.Output) (found *job.Output) {
	for _, t := range list {
		switch {
		case t.Shrunk || t.Pending == nil:
			return nil
		case t.Format.IsRaw() && (found == nil || !found.Format.IsRaw()), found == nil && t.Format.InPlace(t.Pending.File()):
			found = t
		}
	}
	return found
}

// scratchFolder is where working files are made. Those have no name, so that they go with the run however it ends; and
// they are as large as disks, for which /tmp, in memory on many hosts, is not made.
func scratchFolder(named string) string { return cmp.Or(named, os.Getenv("TMPDIR"), "/var/tmp") }

// cacheFolder is where package downloads are kept between runs.
func cacheFolder(named string) (string, error) {
	if named == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no place for the package cache (see --package-cache-dir): %w", err)
		}
		named = filepath.Join(base, "imagecustomizer", "packages")
	}
	return named, os.MkdirAll(named, 0o755)
}

func (f *openedFiles) discard() {
	for _, o := range f.outputs {
		if o.Pending != nil {
			o.Pending.Discard()
		}
	}
	if f.artifacts != nil && f.artifacts.Pending != nil {
		f.artifacts.Pending.Discard()
	}
	f.drop(&f.disk, &f.scratch, &f.base)
	if f.guard != nil {
		_ = f.guard.given.Close()
	}
}

// drop closes files that nobody needs any more, which frees their space.
func (f *openedFiles) drop(list ...**os.File) {
	for _, x := range list {
		if *x != nil {
			(*x).Close()
			*x = nil
		}
	}
}
