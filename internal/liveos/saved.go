package liveos

import (
	"encoding/json"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/rootfs"
)

// savedConfig is the file of a medium that tells a later run on it what it was made with.
const savedConfig = "azl-image-customizer/saved-configs.yaml"

// Saved is what a medium remembers, as YAML that is JSON too.
type Saved struct {
	GrubConfig    string     `json:"grubConfig"` // its path on the medium
	InitramfsType string     `json:"initramfsType"`
	KernelArgs    []string   `json:"kernelCommandLine"`
	Persistence   string     `json:"persistence,omitempty"`
	Filesystem    Filesystem `json:"rootFilesystem"`
	SELinuxOff    bool       `json:"selinuxOff,omitempty"`  // on the medium, not in the image
	SELinuxArgs   []string   `json:"selinuxArgs,omitempty"` // of the image, which the medium has not
}

// save writes what the medium was made with.
func (s *stage) save() error {
	saved := Saved{
		GrubConfig: s.m.Facts.Boot.Config, InitramfsType: initramfsType(s.spec.FullOS), KernelArgs: s.spec.Args, Persistence: s.spec.Persistence,
		Filesystem: s.spec.Filesystem, SELinuxOff: s.spec.SELinuxOff,
	}
	if saved.SELinuxOff {
		scheme, err := boot.Detect(s.m.Root)
		if err != nil {
			return err
		}
		args, err := boot.Args(s.m.Root, scheme)
		if err != nil {
			return err
		}
		for _, a := range args {
			if name, _, _ := strings.Cut(a, "="); slices.Contains(selinuxArgs, name) {
				saved.SELinuxArgs = append(saved.SELinuxArgs, a)
			}
		}
	}
	return writeSaved(s.root, saved)
}

func writeSaved(root *rootfs.Root, saved Saved) error {
	data, err := json.MarshalIndent(saved, "", "  ")
	if err != nil {
		return err
	}
	return putText(root, savedConfig, string(data)+"\n")
}

func initramfsType(fullOS bool) string {
	if fullOS {
		return "full-os"
	}
	return "bootstrap"
}
