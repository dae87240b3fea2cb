package storage

import (
	"strings"
	"testing"

	"imagecustomizer/internal/feature/featuretest"
)

func TestSubvolumeOptionsNeedSubvolumes(t *testing.T) {
	t.Parallel()
	for filesystem, want := range map[string]string{
		"type: btrfs, mountPoint: {path: /, options: 'noatime,subvol=root'}":                            `"subvol=root" names a subvolume`,
		"type: btrfs, mountPoint: {path: /, options: subvolid=5}":                                       `"subvolid=5" names a subvolume`,
		"type: btrfs, btrfs: {subvolumes: []}, mountPoint: {path: /, options: subvol=/}":                "names a subvolume",
		"type: btrfs, mountPoint: {path: /, options: noatime}":                                          "",
		"type: btrfs, btrfs: {subvolumes: [{path: root, mountPoint: {path: /, options: ro}}]}":          "",
		"type: btrfs, btrfs: {subvolumes: [{path: root, mountPoint: {path: /, options: subvol=root}}]}": "added by itself",
	} {
		got := featuretest.Reported[storageTest]("x.yaml", `storage: {bootType: efi, disks: [{partitionTableType: gpt, maxSize: 4G, partitions: [
  {id: esp, type: esp, size: 8M}, {id: root}]}], filesystems: [{deviceId: esp, type: fat32, mountPoint: /boot/efi}, {deviceId: root, `+filesystem+`}]}
os: {bootloader: {resetType: hard-reset}}`)
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: want %q in\n%s", filesystem, want, got)
		}
	}
}
