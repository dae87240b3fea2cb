package liveos

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
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

	AdditionalFiles []SavedFile `json:"additionalFiles,omitempty"`
	Files           []File      `json:"-"` // the same, as what a medium of the same kind is given
}

// SavedFile is a file that a medium was given beside the system.
type SavedFile struct {
	Path string `json:"path"` // on the medium
	Mode string `json:"mode"` // permissions, octal
}

// keepFiles fills in the files that the medium says it was given, which are taken from it.
func (s *Saved) keepFiles(m *medium) error {
	const octal, bits = 8, 9
	for _, f := range s.AdditionalFiles {
		mode, err := strconv.ParseUint(f.Mode, octal, bits)
		if err != nil {
			return fmt.Errorf("%s of the ISO image: the mode of the additional file %q: %w", savedConfig, f.Path, err)
		}
		if _, err := m.find(f.Path); err != nil {
			return fmt.Errorf("%s of the ISO image names an additional file: %w", savedConfig, err)
		}
		s.Files = append(s.Files, File{Destination: path.Clean("/" + f.Path), Mode: fs.FileMode(mode), medium: m})
	}
	return nil
}

// Replaced are files of a medium with those that are put onto it now, which take the places of those that were there.
func Replaced(files, by []File) (all []File) {
	for _, f := range files {
		if !slices.ContainsFunc(by, func(n File) bool { return path.Clean("/"+n.Destination) == f.Destination }) {
			all = append(all, f)
		}
	}
	return append(all, by...)
}

// save writes what the medium was made with.
func (s *stage) save() error {
	saved := Saved{
		GrubConfig: s.m.Facts.Boot.Config, InitramfsType: initramfsType(s.spec.FullOS), KernelArgs: s.spec.Args, Persistence: s.spec.Persistence,
		Filesystem: s.spec.Filesystem, SELinuxOff: s.spec.SELinuxOff, AdditionalFiles: s.added,
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
