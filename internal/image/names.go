package image

import "imagecustomizer/internal/diskformat"

// Format and Probe are those of package diskformat, for code that is on its way there.
type Format = diskformat.Image

// Probe is diskformat.Probe.
var Probe = diskformat.Probe
