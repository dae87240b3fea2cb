package app

import (
	"fmt"
	"io"
	"slices"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/ui"
)

// ValidateOptions are the flags of the validate-config command.
type ValidateOptions struct {
	ConfigFile string
	Compose    compose.Options // profiles and variables
	Resources  []string        // files, oci, all
}

// Validate checks a config file and, where asked, that the files it names can be read. It needs
// neither root nor an image.
func Validate(o ValidateOptions, screen *ui.UI, stdout io.Writer) error {
	files := slices.Contains(o.Resources, "files") || slices.Contains(o.Resources, "all")
	o.Compose.CheckFiles = files
	c, err := loadConfig(o.ConfigFile, &compose.Files{}, o.Compose, screen)
	if err != nil {
		return err
	}
	if out := c.Config.Output.Image; out.Path.Text != "" && out.Format == "" {
		if _, err := diskformat.FromPath(out.Path.Text); err != nil {
			c.Report.Forget()
			c.Place("output.image.path").Warnf("%v", err).Hint("add \"format:\", or give --output-image-format with each run")
			screen.Problems(c.Report.Render)
		}
	}
	_, err = fmt.Fprintf(stdout, "%s is valid\n", o.ConfigFile)
	return err
}
