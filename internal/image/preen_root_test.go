//go:build root

package image

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"imagecustomizer/internal/disk"
)

// TestUncleanExtIsPutRight: before an ext filesystem is mounted for writing, e2fsck looks at what an unclean
// shutdown left; whatever its superblock asks for, an error does not end in a panic of the kernel.
func TestUncleanExtIsPutRight(t *testing.T) {
	for _, spoil := range []string{"", "ssv state 0", "feature needs_recovery"} {
		file := build(t, "gpt", 512, []part{{script: "size=200M", mkfs: "mkfs.ext4 -q -e panic", files: map[string]string{"etc/fstab": "/dev/vda1 / ext4 defaults 0 1\n"}}})
		table, err := disk.ReadTable(file, 1600<<20)
		must(t, err)
		v := disk.Volumes(file, table)[0]
		if spoil != "" {
			run(t, "", "debugfs", "-w", "-R", spoil, fmt.Sprintf("%s?offset=%d", file.Name(), v.Start))
			if e, err := readExt(file, v); err != nil || e.Clean {
				t.Fatalf("%s: %+v, %v", spoil, e, err)
			}
		}
		d, err := open(t, file)
		must(t, err)
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		must(t, err)
		if !strings.Contains(string(mounts), "errors=remount-ro") || strings.Contains(string(mounts), "errors=panic") {
			t.Errorf("%s: mounted as\n%s", spoil, mounts)
		}
		must(t, d.Unmount())
		must(t, d.Check(t.Context()))
		must(t, d.Close())
		if e, err := readExt(file, v); err != nil || !e.Clean {
			t.Errorf("%s: afterwards %+v, %v", spoil, e, err)
		}
	}
}
