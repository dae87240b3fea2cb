package cli

import (
	"errors"
	"fmt"

	"imagecustomizer/internal/app"
	"imagecustomizer/internal/compose"
)

// configCmd are the commands about config files alone. None of them runs anything, or needs root.
type configCmd struct {
	Render renderCmd `cmd:"" help:"Print the config that would run as one flat file, which is a valid config itself."`
	Diff   diffCmd   `cmd:"" help:"Compare what two configs come to, value by value. The exit status is 5 where they differ."`
	Schema schemaCmd `cmd:"" help:"Print the JSON schema of config files, for editors."`
}

type renderCmd struct {
	ConfigFile string `arg:"" help:"Config file." placeholder:"FILE"`
	Output     string `short:"o" help:"File to write. Relative paths in it lead from its directory. Default: standard output, and paths lead from the config file's directory." placeholder:"FILE"`
	Origins    bool   `help:"Say of every value in which file, line and column it stands."`
	Resolved   bool   `name:"expect-resolved" help:"Fail where conditions are left that ask what the base image is."`
	Format     string `default:"yaml" enum:"yaml,json" help:"Form: yaml, or json (an object with the config and, with --origins, the places of its values by JSON pointers)." placeholder:"FORMAT"`

	composeFlags
	factFlags
}

// Run prints a config as one file.
func (c *renderCmd) Run(s *session) error {
	return app.RenderConfig(s.ctx, c.ConfigFile, c.with(c.options()), app.RenderOptions{
		Output: c.Output, Origins: c.Origins, JSON: c.Format == "json", Resolved: c.Resolved, Image: c.look(),
	}, s.ui, s.stdout)
}

// factFlags say what the base image is, of which conditions ask.
type factFlags struct {
	Fact             []string `sep:"none" help:"What the base image is, for conditions: arch, distro or version; repeatable. What is not given is not known, and conditions that ask for it stay." placeholder:"NAME=VALUE"`
	ImageFile        string   `help:"Base image to find this out from: ${readable}. It takes root, as a run does; the image is copied, never modified." placeholder:"FILE"`
	BuildDir         string   `help:"Folder for that copy. Default: TMPDIR, or /var/tmp." placeholder:"DIR"`
	AllowBackingFile bool     `help:"Accept an image that refers to further files."`

	rootFlags
}

func (f factFlags) with(o compose.Options) compose.Options {
	o.Given = f.Fact
	return o
}

func (f factFlags) look() app.LookOptions {
	return app.LookOptions{ImageFile: f.ImageFile, BuildDir: f.BuildDir, AllowBackingFile: f.AllowBackingFile, Root: f.choice()}
}

type diffCmd struct {
	A string `arg:"" help:"Config file. Flags are for both of them." placeholder:"A"`
	B string `arg:"" help:"Config file to compare it with." placeholder:"B"`

	composeFlags
	factFlags
}

// Run compares two configs.
func (c *diffCmd) Run(s *session) error {
	return app.DiffConfigs(s.ctx, c.A, c.B, c.with(c.options()), c.look(), s.ui, s.stdout)
}

type schemaCmd struct{}

// Run prints the schema.
func (schemaCmd) Run(s *session) error {
	pages, err := Pages()
	if err != nil {
		return err
	}
	_, werr := fmt.Fprintf(s.stdout, "%s", pages["schema.json"])
	return errors.Join(err, werr)
}
