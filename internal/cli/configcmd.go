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
	Format     string `default:"yaml" enum:"yaml,json" help:"Form: yaml, or json (an object with the config and, with --origins, the places of its values by JSON pointers)." placeholder:"FORMAT"`

	composeFlags
}

// Run prints a config as one file.
func (c *renderCmd) Run(s *session) error {
	return app.RenderConfig(c.ConfigFile, c.options(), app.RenderOptions{Output: c.Output, Origins: c.Origins, JSON: c.Format == "json"}, s.ui, s.stdout)
}

type diffCmd struct {
	A       string   `arg:"" help:"Config file." placeholder:"A"`
	B       string   `arg:"" help:"Config file to compare it with." placeholder:"B"`
	Profile []string `sep:"none" help:"Profile to apply to both; repeatable." placeholder:"NAME"`
	Set     []string `sep:"none" help:"Value of a variable, for both; repeatable." placeholder:"NAME=VALUE"`
	Vars    []string `sep:"none" help:"File of values, for both; repeatable." placeholder:"FILE"`
}

// Run compares two configs.
func (c *diffCmd) Run(s *session) error {
	return app.DiffConfigs(c.A, c.B, compose.Options{Profiles: c.Profile, Set: c.Set, Vars: c.Vars}, s.ui, s.stdout)
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
