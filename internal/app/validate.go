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
	m, results, err := loadAll(o.ConfigFile, &compose.Files{}, o.Compose, screen)
	if err != nil {
		return err
	}
	for _, c := range results {
		warnOfFormat(c, screen)
	}
	if m != nil {
		_, err = fmt.Fprintf(stdout, "%s is valid, for %d of the %d entries of its matrix\n", o.ConfigFile, len(m.Entries), m.All)
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s is valid\n", o.ConfigFile)
	return err
}

// warnOfFormat warns of an output path whose ending does not say which format is to be written.
func warnOfFormat(c *compose.Result, screen *ui.UI) {
	if out := c.Config.Output.Image; out.Path.Text != "" && out.Format == "" {
		if _, err := diskformat.FromPath(out.Path.Text); err != nil {
			c.Report.Forget()
			c.Place("output.image.path").Warnf("%v", err).Hint("add \"format:\", or give --output-image-format with each run")
			screen.Problems(c.Report.Render)
		}
	}
}
