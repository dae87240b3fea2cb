package feature

// BootType is how firmware starts an image.
type BootType string

// Values lists the types.
func (BootType) Values() []string { return []string{string(BootEFI), string(BootLegacy)} }

// The boot types.
const (
	BootEFI    BootType = "efi"
	BootLegacy BootType = "legacy"
)

// ESPMount is where the EFI system partition is mounted.
const ESPMount = "/boot/efi"
