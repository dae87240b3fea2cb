package storage

import "imagecustomizer/internal/config"

// Shrink says that the image is to be as small as its content.
type Shrink struct {
	Headroom config.Size `yaml:"headroom" default:"0" doc:"What stays free in each filesystem." example:"200M"`
}
