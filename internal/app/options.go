package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/step"
)

// RootChoice names the root of an image in which more than one filesystem could be it.
type RootChoice = image.Choice

// baseImage is the base image's absolute path.
func (o CustomizeOptions) baseImage(c *step.Config, bad *usage) string {
	path := o.ImageFile
	if path == "" {
		path = c.Input.Image.Path.Resolved
	}
	if path == "" {
		bad.add("no base image: give --image-file, or input.image.path in the config")
		return ""
	}
	bad.check(regularFile("base image", path))
	return abs(path)
}

// probeImage finds out the format of an image that a command names.
func probeImage(ctx context.Context, path string, allowBacking bool) (diskformat.Image, error) {
	var bad usage
	bad.check(regularFile("image", path))
	if err := bad.err(); err != nil {
		return diskformat.Image{}, err
	}
	return diskformat.Probe(ctx, path, allowBacking)
}

func regularFile(what, path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s %s is not a regular file", what, path)
	}
	return nil
}

// targets lists the outputs: the one of the flags or the config, then those of --output.
func (o CustomizeOptions) targets(c *step.Config, base string, bad *usage) []*job.Output {
	if o.inPlace != nil {
		o.inPlace.Checksum = o.Checksum
		return []*job.Output{o.inPlace}
	}
	path, format := o.OutputFile, o.OutputFormat
	if path == "" {
		path = c.Output.Image.Path.Resolved
	}
	if format == "" {
		format = string(c.Output.Image.Format)
	}
	image := path
	if o.SplitFormat != "" && format == "" { // the path then only says where the partitions go
		image = ""
	}
	list := parseTargets(image, format, o.Outputs, bad)
	list = append(list, o.splitTargets(path, format, bad)...)
	setLevel(list, o.COSILevel, int(c.Output.Image.COSI.Compression.Level), bad)
	if seed := c.Output.SeedImage.Resolved; seed != "" {
		list = append(list, &job.Output{Seed: true, Path: abs(seed)})
	}
	if len(list) == 0 && len(*bad) == 0 && !o.DryRun {
		bad.add("no output: give --output-image-file and --output-image-format, or --output FORMAT=PATH, or output.image in the config")
	}
	for _, t := range list {
		t.Checksum, t.Keep = o.Checksum, o.NoClobber
	}
	checkTargets(list, o.inputs(c, base), o.NoClobber, bad)
	return list
}

// splitTargets lists a file for every partition that the disk can have: how many it will have, only
// the run knows.
func (o CustomizeOptions) splitTargets(path, format string, bad *usage) (list []*job.Output) {
	if o.ShrinkFilesystems && o.SplitFormat == "" {
		bad.add("--shrink-filesystems is for split partitions: give --output-split-partitions-format too")
	}
	if o.ShrinkFilesystems && format != "" {
		bad.add("--shrink-filesystems cannot be combined with --output-image-format: the image keeps the sizes of its partitions")
	}
	if o.SplitFormat == "" {
		return nil
	}
	split, err := output.ParseSplit(o.SplitFormat)
	bad.check(err)
	if path == "" {
		bad.add("--output-split-partitions-format has no file name to begin those of the partitions with: give --output-image-file too")
	}
	if err != nil || path == "" {
		return nil
	}
	for n := range output.MaxSplit {
		list = append(list, &job.Output{Split: split, Path: abs(split.Path(path, n+1)), Partition: n + 1, Shrunk: o.ShrinkFilesystems})
	}
	return list
}

// setLevel sets the level of compression of those outputs that have one. The flag wins over the config.
func setLevel(list []*job.Output, flag, config int, bad *usage) {
	level := cmp.Or(flag, config)
	used := false
	for _, t := range list {
		if t.Format.InParts() {
			t.Level, used = level, true
		}
	}
	bad.check(checkLevel(flag, used))
}

func checkLevel(flag int, used bool) error {
	switch {
	case flag < 0 || flag > maxLevel:
		return fmt.Errorf("--cosi-compression-level %d: want a level from 1 to %d", flag, maxLevel)
	case flag > 0 && !used:
		return errors.New("--cosi-compression-level is for the formats cosi and baremetal-image, and neither is to be written")
	}
	return nil
}

// maxLevel is the highest level of compression.
const maxLevel = 22

// parseTargets turns the flags that name outputs into targets.
func parseTargets(path, format string, more []string, bad *usage) (list []*job.Output) {
	switch {
	case path != "" && format != "":
		list = appendTarget(list, format, path, bad)
	case path != "":
		f, err := diskformat.FromPath(path)
		if bad.check(err); err == nil {
			list = appendTarget(list, f.Name, path, bad)
		}
	case format != "" && len(more) == 0:
		bad.add("--output-image-format %s has no file: give --output-image-file too", format)
	}
	for _, m := range more {
		f, p, ok := strings.Cut(m, "=")
		if !ok || p == "" {
			bad.add("--output %s: want FORMAT=PATH, such as vhdx=out/image.vhdx", m)
			continue
		}
		list = appendTarget(list, f, p, bad)
	}
	return list
}

func appendTarget(list []*job.Output, format, path string, bad *usage) []*job.Output {
	f, err := diskformat.Parse(format)
	if err != nil {
		bad.check(err)
		return list
	}
	if other, contradicts := f.Contradicts(path); contradicts {
		slog.Warn("the name of an output looks like another format than the one it gets", "file", path, "format", f, "looks like", other)
	}
	return append(list, &job.Output{Format: f, Path: abs(path), Shrunk: f.InParts()})
}

// unaliased is a path without symbolic links in its folder, as far as that is there.
func unaliased(path string) string {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return path
	}
	return filepath.Join(dir, filepath.Base(path))
}

// sources are the package sources of a flag, which takes folders and files of all kinds but one.
func sources(flag string, paths []string, but pkgmgr.SourceKind, want string, bad *usage) (list []pkgmgr.Source) {
	for _, p := range paths {
		s, err := pkgmgr.CheckSource(p)
		if err == nil && s.Kind == but {
			err = fmt.Errorf("%s %s: want %s", flag, p, want)
		}
		bad.check(err)
		s.Path = abs(p)
		list = append(list, s)
	}
	return list
}

// abs is the absolute form of a path. It cannot fail but where the working folder is gone.
func abs(path string) string {
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}
