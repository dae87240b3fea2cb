package output

import "imagecustomizer/internal/diskformat"

// Format and Parse are those of package diskformat, for code that is on its way there.
type Format = diskformat.Format

// Parse is diskformat.Parse.
var Parse = diskformat.Parse
