package app

import (
	"context"
	"fmt"
	"io"
	"strings"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/ui"
)

// EditOptions are the flags of the edit command.
type EditOptions struct {
	CustomizeOptions
	Flags   []compose.Flag // what to change
	Outputs []string       // FILE or FORMAT=PATH
}

// Edit changes an image as flags say: the same as customize does with the config that the flags come to.
func Edit(ctx context.Context, o EditOptions, screen *ui.UI, stdout io.Writer) error {
	c := o.withFlags(o)
	var bad usage
	if c.ImageFile == "" {
		bad.add("which image? Give --image-file FILE (-a FILE)")
	}
	if len(o.Outputs) == 0 {
		bad.add("where should the changed image go? Give --output FILE for a new image, or --in-place to replace the one that is read")
	}
	for _, text := range o.Outputs {
		t, err := editTarget(text)
		bad.check(err)
		c.Outputs = append(c.Outputs, t)
	}
	if err := bad.err(); err != nil {
		return err
	}
	return Customize(ctx, c, screen, stdout)
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
