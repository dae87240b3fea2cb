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

	"imagecustomizer/internal/image"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/step"
)

// RootChoice names the root of an image in which more than one filesystem could be it.
type RootChoice = image.Choice

// target is one output file that the user asked for.
type target struct {
	format   output.Format
	path     string // absolute
	checksum bool
	level    int // of compression; 0 means the format's own

	split     output.Split // not empty: the file is for this partition alone, if the disk will have it
	partition int
	shrunk    bool // of the disk with its filesystems shrunk
	keep      bool // an older file of that name is never replaced
}

// String names the kind of output.
func (t target) String() string {
	if t.split != "" {
		return fmt.Sprintf("%s, partition %d", t.split, t.partition)
	}
	return t.format.Name
}

// create makes the output, without a name as yet.
func (t target) create() (*output.Pending, error) {
	if t.format.Folder {
		return output.CreateFolder(t.path)
	}
	return output.Create(t.path, t.keep)
}

// Shown is a failure whose text the user has seen already.
type Shown struct{ Failure }

// Unwrap returns the failure itself.
func (s *Shown) Unwrap() error { return &s.Failure }

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
func probeImage(ctx context.Context, path string, allowBacking bool) (image.Format, error) {
	var bad usage
	bad.check(regularFile("image", path))
	if err := bad.err(); err != nil {
		return image.Format{}, err
	}
	return image.Probe(ctx, path, allowBacking)
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
func (o CustomizeOptions) targets(c *step.Config, base string, bad *usage) []target {
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
	if len(list) == 0 && len(*bad) == 0 && !o.DryRun {
		bad.add("no output: give --output-image-file and --output-image-format, or --output FORMAT=PATH, or output.image in the config")
	}
	for i := range list {
		list[i].checksum, list[i].keep = o.Checksum, o.NoClobber
	}
	checkTargets(list, o.inputs(c, base), o.NoClobber, bad)
	return list
}

// splitTargets lists a file for every partition that the disk can have: how many it will have, only
// the run knows.
func (o CustomizeOptions) splitTargets(path, format string, bad *usage) (list []target) {
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
		list = append(list, target{split: split, path: abs(split.Path(path, n+1)), partition: n + 1, shrunk: o.ShrinkFilesystems})
	}
	return list
}

// setLevel sets the level of compression of those outputs that have one. The flag wins over the config.
func setLevel(list []target, flag, config int, bad *usage) {
	level := cmp.Or(flag, config)
	used := false
	for i, t := range list {
		if t.format.InParts() {
			list[i].level, used = level, true
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
func parseTargets(path, format string, more []string, bad *usage) (list []target) {
	switch {
	case path != "" && format != "":
		list = appendTarget(list, format, path, bad)
	case path != "":
		f, err := output.FromPath(path)
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

func appendTarget(list []target, format, path string, bad *usage) []target {
	f, err := output.Parse(format)
	if err != nil {
		bad.check(err)
		return list
	}
	if other, contradicts := f.Contradicts(path); contradicts {
		slog.Warn("the name of an output looks like another format than the one it gets", "file", path, "format", f, "looks like", other)
	}
	return append(list, target{format: f, path: abs(path), shrunk: f.InParts()})
}

// unaliased is a path without symbolic links in its folder, as far as that is there.
func unaliased(path string) string {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return path
	}
	return filepath.Join(dir, filepath.Base(path))
}

// checkSources checks the paths of --rpm-source and --deb-source.
func checkSources(rpm, deb []string) error {
	var errs []error
	for _, p := range rpm {
		s, err := pkgmgr.CheckSource(p)
		if err == nil && s.Kind == pkgmgr.AptFile {
			err = fmt.Errorf("--rpm-source %s: want a folder of RPM packages or a .repo file", p)
		}
		errs = append(errs, err)
	}
	for _, p := range deb {
		s, err := pkgmgr.CheckSource(p)
		if err == nil && s.Kind == pkgmgr.RepoFile {
			err = fmt.Errorf("--deb-source %s: want a folder of .deb packages or a .list or .sources file", p)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func absolute(paths []string) (list []string) {
	for _, p := range paths {
		list = append(list, abs(p))
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
