//go:build root

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLayoutsThatCannotBe asks for new disks that an image does not fit on or could not boot from.
func TestLayoutsThatCannotBe(t *testing.T) {
	t.Parallel()
	const disk = `
storage:
  bootType: legacy
  disks: [{partitionTableType: gpt, partitions: [{id: bios, type: bios-grub, size: 1M}, {id: root, size: SIZE}]}]
  filesystems: [{deviceId: root, type: ext4, mountPoint: /}]
os: {bootloader: {resetType: hard-reset}}
`
	dir := t.TempDir()
	for _, c := range []struct{ base, config, want string }{
		{"debian12-bios", strings.Replace(disk, "SIZE", "200M", 1), "what belongs to / takes "},
		{"debian12-efi", strings.Replace(disk, "SIZE", "2G", 1), "install grub-pc-bin in the same run"},
		{"debian12-4k", strings.Replace(disk, "SIZE", "2G", 1), "bootType legacy needs a disk with sectors of 512 bytes"},
	} {
		out := filepath.Join(dir, "out.raw")
		status, text := run(t, "--build-dir", filepath.Join(dir, "build"), "--image-file", base(t, c.base), "--output-image-file", out,
			"--output-image-format", "raw", "--config-file", writeConfig(t, c.config))
		if status != 3 || !strings.Contains(text, c.want) {
			t.Errorf("exit %d, want 3 with %q\n%s", status, c.want, text)
		}
		if _, err := os.Stat(out); err == nil {
			t.Error("an output was written")
		}
	}
}
