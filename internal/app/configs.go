package app

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/ui"
)

// RenderOptions say how a config is written as one file.
type RenderOptions struct {
	Output  string // file to write; standard output where it is empty
	Origins bool
	JSON    bool
}

// RenderConfig writes a config as one flat file.
func RenderConfig(file string, o compose.Options, r RenderOptions, screen *ui.UI, stdout io.Writer) error {
	c, err := loadConfig(file, &compose.Files{}, o, screen)
	if err != nil {
		return err
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
	p, err := output.Create(abs(r.Output), false)
	if err != nil {
		return err
	}
	if c.HasSecrets() {
		err = p.File().Chmod(0o600)
	}
	if _, werr := p.File().Write(text); err != nil || werr != nil {
		p.Discard()
		return errors.Join(err, werr)
	}
	return output.Publish(p)
}

// DiffConfigs compares what two configs come to.
func DiffConfigs(a, b string, o compose.Options, screen *ui.UI, stdout io.Writer) error {
	if a == compose.Stdin && b == compose.Stdin {
		return &failure.Failure{Code: failure.Usage, Err: errors.New("both configs are standard input, which can be read once; name a file")}
	}
	var sides []*compose.Result
	for _, file := range []string{a, b} {
		c, err := loadConfig(file, &compose.Files{}, o, screen)
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
