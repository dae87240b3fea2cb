package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/ui"
)

// EditOptions are the flags of the edit command.
type EditOptions struct {
	CustomizeOptions
	Flags   []compose.Flag // what to change
	Outputs []string       // FILE or FORMAT=PATH
	InPlace bool           // the image itself is replaced
	Backup  string         // suffix of a name that the old one keeps
}

// Edit changes an image as flags say: the same as customize does with the config that the flags come to.
func Edit(ctx context.Context, o EditOptions, screen *ui.UI, stdout io.Writer) error {
	c := o.withFlags(o)
	var bad usage
	if c.ImageFile == "" {
		bad.add("which image? Give --image-file FILE (-a FILE)")
	}
	o.checkTarget(&bad)
	for _, text := range o.Outputs {
		t, err := editTarget(text)
		bad.check(err)
		c.Outputs = append(c.Outputs, t)
	}
	if err := bad.err(); err != nil {
		return err
	}
	if !o.InPlace {
		return Customize(ctx, c, screen, stdout)
	}
	original, err := c.original(ctx, o.Backup)
	if err != nil {
		return err
	}
	defer original.Close()
	return Customize(ctx, c, screen, stdout)
}

// checkTarget looks whether it is said, and said once, where the changed image goes.
func (o EditOptions) checkTarget(bad *usage) {
	switch {
	case !o.InPlace && len(o.Outputs) == 0:
		bad.add("where should the changed image go? Give --output FILE for a new image, or --in-place to replace the one that is read")
	case o.InPlace && len(o.Outputs) > 0:
		bad.add("--in-place and --output exclude each other: --output keeps the image that is read as it is")
	case o.InPlace && o.NoClobber:
		bad.add("--in-place replaces the image, and --no-clobber forbids that: remove one of them")
	case !o.InPlace && o.Backup != "":
		bad.add("--backup is for --in-place: with --output the image that is read stays as it is")
	}
}

// original opens the image that is to be replaced, and has the run write another one like it.
func (o *CustomizeOptions) original(ctx context.Context, suffix string) (*output.Original, error) {
	old, err := output.OpenOriginal(o.ImageFile, suffix)
	if err != nil {
		code := failure.Failed
		if _, is := errors.AsType[*output.Misuse](err); is {
			code = failure.Usage
		}
		return nil, &failure.Failure{Code: code, Err: err}
	}
	err = o.replace(ctx, old)
	if err != nil {
		old.Close()
	}
	return old, err
}

func (o *CustomizeOptions) replace(ctx context.Context, old *output.Original) error {
	image, err := diskformat.Probe(ctx, old.Path(), true)
	if err != nil {
		return err
	}
	format, err := diskformat.Like(old.Path(), image)
	if err == nil {
		err = aloneBelow(old)
	}
	if err != nil {
		return &failure.Failure{Code: failure.Usage, Err: err}
	}
	o.ImageFile = old.Path()
	o.inPlace = &job.Output{Format: format, Path: old.Path(), Original: old}
	return nil
}

// aloneBelow fails where an image beside it has this one as its backing file: it says what differs, and would say so of
// another image.
func aloneBelow(old *output.Original) error {
	below, err := old.File().Stat()
	if err != nil {
		return err
	}
	dir := filepath.Dir(old.Path())
	entries, _ := os.ReadDir(dir) // what cannot be listed cannot be looked at
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !e.Type().IsRegular() {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		backing, err := os.Stat(diskformat.OverlayOf(path, f))
		f.Close()
		if err == nil && os.SameFile(backing, below) {
			return fmt.Errorf("%s has %s as its backing file, and would be broken: write a new image with --output, or make that one whole first (qemu-img rebase -b '')", path, old.Path())
		}
	}
	return nil
}

// PrintEdit writes the config that the flags come to.
func PrintEdit(o EditOptions, screen *ui.UI, stdout io.Writer) error {
	c, err := o.withFlags(o).load(&compose.Files{}, screen)
	if err != nil {
		return err
	}
	text, _, err := c.Render(compose.Rendering{Dir: "."})
	if err != nil {
		return &failure.Failure{Code: failure.Config, Err: err}
	}
	if c.HasSecrets() {
		screen.Note("passwords are not printed: name a file with the password instead, file:FILE")
	}
	_, err = stdout.Write(text)
	return err
}

// withFlags has a run do what flags say.
func (o CustomizeOptions) withFlags(e EditOptions) CustomizeOptions {
	o.compose = func() (*compose.Result, error) {
		return compose.FromFlags(e.Flags, abs("."), compose.Options{CheckFiles: true})
	}
	o.ConfigFile = compose.Stdin // as whose directory the working directory counts
	return o
}

// load reads and checks the config. Warnings are shown; errors are the returned failure.
func (o CustomizeOptions) load(files *compose.Files, screen *ui.UI) (*compose.Result, error) {
	if o.compose == nil {
		return loadOne(o.ConfigFile, files, o.Compose, screen)
	}
	r, err := o.compose()
	if err != nil {
		return nil, &failure.Failure{Code: failure.Config, Err: err}
	}
	return r, reported(r.Report, screen)
}

// editTarget is a target of the customize command.
func editTarget(text string) (string, error) {
	if format, path, ok := strings.Cut(text, "="); ok && path != "" {
		if _, err := diskformat.Parse(format); err == nil {
			return text, nil
		}
	}
	f, err := diskformat.FromPath(text)
	if err != nil {
		return "", fmt.Errorf("--output %s: cannot tell the format from the name: write FORMAT=PATH, with one of the formats %s", text, strings.Join(diskformat.Names(), ", "))
	}
	return f.Name + "=" + text, nil
}
