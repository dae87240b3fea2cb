package app

import (
	"fmt"
	"io"
	"slices"

	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/failure"
	"imagecustomizer/internal/ui"
)

// ValidateOptions are the flags of the validate-config command.
type ValidateOptions struct {
	ConfigFile string
	Compose    compose.Options // profiles and variables
	Resources  []string        // files, oci, all
	BuildDir   string          // mandatory with oci and all, as in today's Image Customizer
}

// Validate checks a config file and, where asked, that the files it names can be read. It needs
// neither root nor an image.
func Validate(o ValidateOptions, screen *ui.UI, stdout io.Writer) error {
	oci := slices.Contains(o.Resources, "oci") || slices.Contains(o.Resources, "all")
	if oci && o.BuildDir == "" {
		return &failure.Failure{Code: failure.Usage, Err: fmt.Errorf("--validate-resources oci and all need --build-dir")}
	}
	files := slices.Contains(o.Resources, "files") || slices.Contains(o.Resources, "all")
	o.Compose.CheckFiles = files
	if _, err := loadConfig(o.ConfigFile, &compose.Files{}, o.Compose, screen); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "%s is valid\n", o.ConfigFile)
	return err
}
