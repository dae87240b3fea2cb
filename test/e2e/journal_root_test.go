//go:build root

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// grownLayout makes the root of debian12-efi larger, and nothing else.
const grownLayout = `
storage:
  bootType: efi
  disks:
  - partitionTableType: gpt
    maxSize: 4G
    partitions: [{id: esp, type: esp, size: 64M}, {id: root, size: grow}]
  filesystems:
  - {deviceId: esp, type: fat32, mountPoint: /boot/efi}
  - {deviceId: root, type: ext4, mountPoint: /}
os: {bootloader: {resetType: hard-reset}}
`

const onlyInJournal = "/etc/only-in-the-journal"

// dirty copies a raw disk as it would be after a power cut: the journal of its root has a file that the
// rest of the filesystem does not have yet.
func dirty(t *testing.T, disk string) string {
	t.Helper()
	dir := t.TempDir()
	at := rootOffset(t, disk)
	sh(t, dir, fmt.Sprintf(`cp --sparse=always %s was.raw; mkdir m
		unshare --mount bash -euc 'mount -o loop,offset=%d,commit=600 was.raw m; echo replayed >m%s
			sync m%[3]s; cp --sparse=always was.raw dirty.raw; umount m'
		rm was.raw; dumpe2fs -h "dirty.raw?offset=%[2]d" 2>/dev/null | grep needs_recovery`, disk, at, onlyInJournal))
	dirty := filepath.Join(dir, "dirty.raw")
	if exists(t, dirty, onlyInJournal) {
		t.Fatal("the file is not in the journal alone")
	}
	return dirty
}

// TestDirtyJournalOfRawBase lays out disks whose journal has to be replayed first: a raw base image is
// opened where it is, for reading only, so this happens on a copy.
func TestDirtyJournalOfRawBase(t *testing.T) {
	t.Parallel()
	layouts := map[string]string{"in place": grownLayout}
	if os.Getenv("FULL") != "" {
		layouts["copied"] = strings.Replace(grownLayout, "64M", "100M", 1) // the root begins elsewhere
	}
	for name, layout := range layouts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			image, out := dirty(t, base(t, "debian12-efi")), filepath.Join(t.TempDir(), "out.raw")
			before := sh(t, ".", "stat -c '%y %z %s' "+image)
			status, text := run(t, "--build-dir", filepath.Join(t.TempDir(), "build"), "--image-file", image, "--output-image-file", out,
				"--output-image-format", "raw", "--config-file", writeConfig(t, layout), "--log-level", "debug")
			if status != 0 || !strings.Contains(text, "the base image is copied before it is opened") {
				t.Fatalf("exit %d\n%s", status, text)
			}
			if after := sh(t, ".", "stat -c '%y %z %s' "+image); after != before || exists(t, image, onlyInJournal) {
				t.Errorf("the base image was %s and is %s", before, after)
			}
			if got := readFile(t, out, onlyInJournal); got != "replayed\n" {
				t.Errorf("what only the journal held is %q", got)
			}
		})
	}
}
