package output

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr/probe"
)

// System is what a COSI says of the system on the disk. It is collected while the image is mounted.
type System struct {
	Arch       string // x86_64, arm64
	ID         string // UUID of the image
	OSRelease  string // text of /etc/os-release
	Packages   []Package
	Bootloader Bootloader
	Mounts     []Mount
	Verity     []Verity
}

// Package is an installed package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Release string `json:"release"`
	Arch    string `json:"arch"`
}

// Bootloader is what boots the system.
type Bootloader struct {
	Type        string       `json:"type"` // grub or systemd-boot
	SystemdBoot *SystemdBoot `json:"systemdBoot,omitempty"`
}

// SystemdBoot is what systemd-boot can boot.
type SystemdBoot struct {
	Entries []BootEntry `json:"entries"`
}

// BootEntry is one thing that systemd-boot can boot.
type BootEntry struct {
	Type    string `json:"type"` // uki-standalone, uki-config or config
	Path    string `json:"path"`
	Cmdline string `json:"cmdline"`
	Kernel  string `json:"kernel"`
}

// Mount is where a partition's filesystem, or a part of it, is mounted.
type Mount struct {
	Path      string
	Partition int
}

// Verity is a dm-verity device of the disk. Where both partitions are the same, the hash tree lies
// HashOffset bytes into it.
type Verity struct {
	DataPartition int
	HashPartition int
	HashOffset    int64
	RootHash      string // hexadecimal
}

// Inspect collects what a COSI says of the mounted system.
func Inspect(ctx context.Context, m *machine.Machine, mounts []image.Mounted, id string) (System, error) {
	s := System{Arch: m.Facts.Arch, ID: id}
	if s.Arch == "aarch64" {
		s.Arch = "arm64"
	}
	for _, x := range mounts {
		s.Mounts = append(s.Mounts, Mount{x.Path, x.Volume.Number})
	}
	text, err := m.Root.ReadFile("/etc/os-release")
	if errors.Is(err, fs.ErrNotExist) {
		text, err = m.Root.ReadFile("/usr/lib/os-release")
	}
	if err != nil {
		return s, err
	}
	s.OSRelease = string(text)
	if s.Packages, err = packages(ctx, m); err != nil {
		return s, fmt.Errorf("list the image's packages: %w", err)
	}
	s.Bootloader, err = bootloader(m)
	return s, err
}

// packages lists what is installed, as a COSI does.
func packages(ctx context.Context, m *machine.Machine) ([]Package, error) {
	list := []Package{}
	installed, err := probe.Installed(ctx, m)
	for _, p := range installed {
		list = append(list, Package{p.Name, p.Version, p.Release, p.Arch})
	}
	return list, err
}

// bootloader tells what boots the system, by its configuration rather than by packages, of which an
// image can have both kinds.
func bootloader(m *machine.Machine) (Bootloader, error) {
	scheme, err := boot.Detect(m.Root) // once more: the run may have changed it
	switch {
	case err != nil:
		return Bootloader{}, err
	case scheme.Config != "":
		return Bootloader{Type: "grub"}, nil
	case scheme.Kind == boot.None:
		return Bootloader{}, fmt.Errorf("the image has no boot loader that a COSI can name: %s", strings.Join(scheme.Trail, "; "))
	}
	entries, err := bootEntries(m, scheme)
	return Bootloader{Type: "systemd-boot", SystemdBoot: &SystemdBoot{entries}}, err
}

// bootEntries lists what systemd-boot boots: entry files, or unified kernel images.
func bootEntries(m *machine.Machine, scheme boot.Scheme) ([]BootEntry, error) {
	menu, err := scheme.Loader().Entries(m.Root)
	if err != nil {
		return nil, err
	}
	entries := []BootEntry{}
	for _, e := range menu.Entries {
		x := BootEntry{"config", e.File, e.Text, e.Kernel.Place.Path}
		if e.Unified {
			x.Type, x.Kernel = "uki-standalone", e.Version
		}
		entries = append(entries, x)
	}
	for _, e := range menu.Programs {
		entries = append(entries, BootEntry{"uki-config", e.File, e.Text, e.Kernel.Place.Path})
	}
	slices.SortFunc(entries, func(a, b BootEntry) int { return strings.Compare(a.Path, b.Path) })
	return entries, nil
}
