package step

import (
	"strings"

	"imagecustomizer/internal/artifact"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/diskformat"
)

// Input says where the base image comes from.
type Input struct {
	Image InputImage `yaml:"image" doc:"The base image."`
}

// InputImage is the base image.
type InputImage struct {
	Path config.Path `yaml:"path" doc:"File of the base image. --image-file wins over it." example:"base.vhdx"`
}

// Validate checks that the file is there.
func (i *InputImage) Validate(at *config.At) { i.Path.NeedFile(at.Field("path")) }

// Output says what to write.
type Output struct {
	Image     OutputImage `yaml:"image" doc:"The image to write."`
	SeedImage config.Path `yaml:"seedImage" doc:"ISO image to write with the seed of os.cloudInit, for a second drive of the machine. The seed is not in the image then." example:"out/seed.iso"`
	Artifacts Artifacts   `yaml:"artifacts" doc:"What is to be signed, as files besides the image. See [signing](signing.md)."`
}

// OutputImage is the image to write.
type OutputImage struct {
	Path   config.Path  `yaml:"path" doc:"File to write. --output-image-file wins over it." example:"out/image.vhdx"`
	Format OutputFormat `yaml:"format" doc:"Its format. --output-image-format wins over it. Default: what the ending of the path says."`
	COSI   COSI         `yaml:"cosi" doc:"For the formats cosi and baremetal-image."`
}

// COSI says how a COSI is written.
type COSI struct {
	Compression Compression `yaml:"compression" doc:"Compression of its partitions."`
}

// Compression is how hard to compress.
type Compression struct {
	Level int `yaml:"level" min:"1" max:"22" doc:"Level of zstd, 1 to 22. --cosi-compression-level wins over it. Default: 9 for cosi, 22 for baremetal-image." example:"9"`
}

// OutputFormat is the name of an output format.
type OutputFormat string

// Values lists the formats.
func (OutputFormat) Values() []string { return diskformat.Names() }

// Artifacts are files of the image that are written besides it, to be signed and put back with inject-files.
type Artifacts struct {
	Path  config.Path     `yaml:"path" doc:"Directory to write. It must be new or empty. inject-files.yaml in it says where in the image each file came from." example:"out/artifacts"`
	Items []artifact.Kind `yaml:"items" doc:"Which files: unified kernel images with their add-ons, add-ons only, shim, the boot loader, and the root hashes of dm-verity devices that have a hashSignaturePath." example:"[bootloader]"`
}

// Used tells whether there are to be any.
func (a *Artifacts) Used() bool { return a.Path.Text != "" || len(a.Items) > 0 }

// Validate checks that it is said what and where.
func (a *Artifacts) Validate(at *config.At) {
	switch {
	case a.Path.Text == "" && len(a.Items) > 0:
		at.Errorf("it is not said where the artifacts go").Hint("add \"path:\" with a directory")
	case a.Path.Text != "" && len(a.Items) == 0:
		at.Errorf("it is not said which artifacts are to be written").Hint("add \"items:\", such as [bootloader]; there are %s", strings.Join(artifact.Kind("").Values(), ", "))
	}
}
