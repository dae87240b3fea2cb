package disk

import (
	"context"
	"fmt"
	"strings"

	"imagecustomizer/internal/hostcmd"
)

// Identifiers are new identifiers for a disk and for what lies on it.
type Identifiers struct {
	Disk       string             // GUID
	Partitions map[int]Identifier // by number
}

// Identifier is a new identifier for a partition, and for the filesystem or swap in it.
type Identifier struct {
	Partition string
	Content   string // as fstab spells it; empty where the partition holds nothing
}

// setters are the commands that give a filesystem another identifier; the device is added.
var setters = map[string]func(id string) []string{
	"ext2": tune2fs, "ext3": tune2fs, "ext4": tune2fs,
	"xfs":   func(id string) []string { return []string{"xfs_admin", "-U", id} },
	"btrfs": func(id string) []string { return []string{"btrfstune", "-f", "-U", id} }, // -f: ask nobody
	"swap":  func(id string) []string { return []string{"swaplabel", "-U", id} },
}

func tune2fs(id string) []string { return []string{"tune2fs", "-U", id} }

// CanIdentify tells whether what a partition holds can get another identifier.
func CanIdentify(content string) bool { return content == "vfat" || setters[content] != nil }

// SetIdentifier gives the unmounted filesystem or swap on a device another identifier. An ext
// filesystem must have just been checked: checksums are made anew, from blocks that must be sound.
func SetIdentifier(ctx context.Context, content, device, id string) error {
	if content == "vfat" {
		return hostcmd.New("fatlabel", "-i", device, strings.ReplaceAll(id, "-", "")).Writing(device).Run(ctx)
	}
	set := setters[content]
	if set == nil {
		return fmt.Errorf("what identifies %s is not known", content)
	}
	words := append(set(id), device)
	return hostcmd.New(words[0], words[1:]...).Writing(device).Run(ctx)
}
