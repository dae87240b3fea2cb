package mounts

import (
	_ "embed"
	"fmt"
	"path"
	"strings"

	"imagecustomizer/internal/identity"
	"imagecustomizer/internal/machine"
)

// whyNoGrowpart says why growpart, of cloud-utils, cannot grow partitions of the image.
func whyNoGrowpart(m *machine.Machine) string {
	switch {
	case !m.Has("growpart"):
		return "no growpart"
	case !m.Has("sfdisk") && !m.Has("sgdisk"):
		return "neither sfdisk nor sgdisk, with which growpart works"
	case !m.Has("findmnt"):
		return "no findmnt, by which growpart is told what to grow"
	case !m.Has("systemctl"):
		return "no systemd, which would start growpart"
	}
	return ""
}

// growers are programs that make mounted filesystems larger, %s being where that is.
var growers = map[string]string{
	"ext4":  `resize2fs "$device"`,
	"xfs":   `xfs_growfs "$1"`,
	"btrfs": `btrfs filesystem resize max "$1"`,
}

// grower is the command of the image that makes a filesystem larger; empty where it has none.
func grower(m *machine.Machine, kind string) string {
	if p := growfs(m); p != "" {
		return p + ` "$1"`
	}
	if program, _, _ := strings.Cut(growers[kind], " "); program == "" || !m.Has(program) {
		return ""
	}
	return growers[kind]
}

const (
	growRunner = "/etc/imagecustomizer/grow-on-boot" // /usr may be sealed
	growUnit   = "grow-on-boot.service"
)

//go:embed growonboot.sh
var growText string

// writeUnit has growpart grow the partition before services start, at each boot: the disk may be made larger again.
func (g growing) writeUnit(m *machine.Machine) error {
	text := fmt.Sprintf(`[Unit]
Description=Grow the last partition with the disk
DefaultDependencies=no
RequiresMountsFor=%[1]s
After=local-fs.target systemd-remount-fs.service
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=TMPDIR=/run
ExecStart=/bin/sh %[2]s %[1]s

[Install]
WantedBy=sysinit.target
`, g.mount, growRunner)
	etc := identity.Units{Kind: "system"}.Etc()
	unit := path.Join(etc, growUnit)
	for _, dir := range []string{path.Dir(growRunner), path.Join(etc, "sysinit.target.wants")} {
		if err := m.Root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := m.Root.WriteFile(growRunner, []byte(strings.Replace(growText, "GROW", grower(m, g.part.Content.Type), 1)), 0o755); err != nil {
		return err
	}
	if err := m.Root.WriteFile(unit, []byte(text), 0o644); err != nil {
		return err
	}
	link := path.Join(etc, "sysinit.target.wants", growUnit)
	if _, err := m.Root.Lstat(link); err == nil {
		return nil
	}
	return m.Root.Symlink("../"+growUnit, link)
}
