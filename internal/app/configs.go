package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/job"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/ui"
)

// RenderOptions say how a config is written as one file.
type RenderOptions struct {
	Output  string // file to write; standard output where it is empty
	Origins bool
	JSON    bool

	Resolved bool        // what still depends on the base image is an error
	Image    LookOptions // base image to find out what conditions ask for, if there is one
}

// RenderConfig writes a config as one flat file.
func RenderConfig(ctx context.Context, file string, o compose.Options, r RenderOptions, screen *ui.UI, stdout io.Writer) error {
	if err := r.Image.facts(ctx, &o, screen); err != nil {
		return err
	}
	c, err := loadOne(file, &compose.Files{}, o, screen)
	if err != nil {
		return err
	}
	if r.Resolved && c.Waiting {
		return &failure.Failure{
			Code: failure.Config, Err: fmt.Errorf("%s has conditions that ask what the base image is, and that is not known", file),
			Hint: "give --image-file FILE, or --fact NAME=VALUE",
		}
	}
	dir := filepath.Dir(file)
	if r.Output != "" {
		dir = filepath.Dir(r.Output)
	}
	text, kept, err := c.Render(compose.Rendering{Dir: dir, Origins: r.Origins, JSON: r.JSON, Secrets: r.Output != ""})
	if err != nil {
		return &failure.Failure{Code: failure.Config, Err: fmt.Errorf("%s cannot be rendered: %w", file, err)}
	}
	for _, why := range kept {
		screen.Note("the base configs stay: %s", why)
	}
	if r.Output == "" {
		if c.HasSecrets() {
			screen.Note("passwords are not printed: with --output FILE they are written to a file that you alone can read")
		}
		_, err = stdout.Write(text)
		return err
	}
	return writeFile(abs(r.Output), text, c.HasSecrets())
}

// writeFile writes a file that appears complete or not at all. A private one is for its owner only.
func writeFile(path string, data []byte, private bool) error {
	p, err := output.Create(path, false)
	if err != nil {
		return err
	}
	defer p.Discard()
	if private {
		err = p.File().Chmod(0o600)
	}
	if err == nil {
		_, err = p.File().Write(data)
	}
	if err != nil {
		return err
	}
	return output.Publish(p)
}

// facts finds out what an image is, where there is one, and makes that part of the options.
func (o LookOptions) facts(ctx context.Context, into *compose.Options, screen *ui.UI) error {
	if o.ImageFile == "" {
		return nil
	}
	if len(into.Given) > 0 {
		return &failure.Failure{Code: failure.Usage, Err: errors.New("--fact and --image-file exclude each other: the image says what it is")}
	}
	format, err := probeImage(ctx, o.ImageFile, o.AllowBackingFile)
	if err != nil {
		return err
	}
	res, err := o.look(ctx, job.Inspect, format, screen)
	if err != nil {
		return err
	}
	into.Facts = res.Facts
	return nil
}

// DiffConfigs compares what two configs come to.
func DiffConfigs(ctx context.Context, a, b string, o compose.Options, image LookOptions, screen *ui.UI, stdout io.Writer) error {
	if a == compose.Stdin && b == compose.Stdin {
		return &failure.Failure{Code: failure.Usage, Err: errors.New("both configs are standard input, which can be read once; name a file")}
	}
	if err := image.facts(ctx, &o, screen); err != nil {
		return err
	}
	var sides []*compose.Result
	for _, file := range []string{a, b} {
		c, err := loadOne(file, &compose.Files{}, o, screen)
		if err != nil {
			return err
		}
		sides = append(sides, c)
	}
	differences := compose.Diff(sides[0], sides[1])
	for _, d := range differences {
		if _, err := fmt.Fprintln(stdout, d); err != nil {
			return err
		}
	}
	if len(differences) == 0 {
		return nil
	}
	return &failure.Failure{Code: failure.Differs, Shown: true, Err: fmt.Errorf("the configs differ in %d values", len(differences))}
}
