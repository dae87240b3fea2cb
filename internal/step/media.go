package step

import (
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/live"
	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/machine"
)

// Media are the live media among the outputs of a run.
func Media(c *Config, f *machine.Facts, in feature.Inputs) []liveos.Spec {
	return live.LiveMedia{ISO: &c.ISO, PXE: &c.PXE}.Specs(c.given(f, in))
}
