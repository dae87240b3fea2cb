package step

// Bootloader says what becomes of the boot loader.
type Bootloader struct {
	ResetType ResetType `yaml:"resetType" default:"\"\"" doc:"hard-reset sets the boot loader up from scratch: its programs, its configuration and the initramfs images. The kernel arguments are then those of the distribution and extraCommandLine. Needed with storage.disks and storage.resetPartitionsUuidsType."`
}

// ResetType tells whether the boot loader is set up from scratch.
type ResetType string

// HardReset sets the boot loader up from scratch.
const HardReset ResetType = "hard-reset"

// Values lists the types.
func (ResetType) Values() []string { return []string{"", string(HardReset)} }
