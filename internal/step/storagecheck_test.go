package step

import (
	"strings"
	"testing"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
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
		doc, report := config.Parse("x.yaml", []byte(`storage: {bootType: efi, disks: [{partitionTableType: gpt, maxSize: 4G, partitions: [
  {id: esp, type: esp, size: 8M}, {id: root}]}], filesystems: [{deviceId: esp, type: fat32, mountPoint: /boot/efi}, {deviceId: root, `+filesystem+`}]}
os: {bootloader: {resetType: hard-reset}}`))
		Decode(doc, config.Options{})
		var b strings.Builder
		report.Render(&b, false)
		if want == "" && b.Len() > 0 || !strings.Contains(b.String(), want) {
			t.Errorf("%s: want %q in\n%s", filesystem, want, b.String())
		}
	}
}

// TestNetworkBootIsLookedAtByFormat takes what no output of the run needs.
func TestNetworkBootIsLookedAtByFormat(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]int{
		"pxe: {initramfsType: bootstrap}": 1, "pxe: {initramfsType: bootstrap, bootstrapBaseUrl: 'http://a/b'}": 0, "pxe: {bootstrapFileUrl: 'http://a/b.iso'}": 0, "pxe: {}": 0,
	} {
		c := parse(t, yaml)
		problems := func(format string) []plan.Problem {
			_, found := liveMedia{&c.ISO, &c.PXE}.planPrepare(c.given(&machine.Facts{}, Inputs{Outputs: []string{"raw", format}}))
			return found
		}
		if got := problems("pxe-dir"); len(got) != want {
			t.Errorf("%s for a network boot: %v", yaml, got)
		}
		if got := problems("iso"); len(got) != 0 {
			t.Errorf("%s for others: %v", yaml, got)
		}
	}
}
