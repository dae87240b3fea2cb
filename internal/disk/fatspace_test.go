package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"imagecustomizer/internal/hostcmd"
)

// TestFATSpace asks mtools the same.
func TestFATSpace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ bits, mib, sectors int }{{12, 4, 4}, {16, 64, 8}, {16, 300, 16}, {32, 300, 1}} {
		name := filepath.Join(t.TempDir(), "fat")
		content := filepath.Join(t.TempDir(), "content")
		run := func(program string, args ...string) string {
			out, err := hostcmd.Unconfined("a test", program, args...).Output(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		if err := os.WriteFile(content, make([]byte, 1234567), 0o600); err != nil {
			t.Fatal(err)
		}
		run("truncate", "-s", fmt.Sprintf("%dM", c.mib), name)
		run("mkfs.vfat", "-F", strconv.Itoa(c.bits), "-s", strconv.Itoa(c.sectors), name)
		run("mcopy", "-i", name, content, "::/x")
		run("mmd", "-i", name, "::/d")
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		size, free, err := FATSpace(f)
		said := regexp.MustCompile(`([0-9 ]+) bytes free`).FindStringSubmatch(run("mdir", "-i", name, "::/"))
		want, _ := strconv.ParseInt(regexp.MustCompile(` `).ReplaceAllString(said[1], ""), 10, 64)
		if err != nil || free != want || size < free+1234567 || size > int64(c.mib)<<20 {
			t.Errorf("FAT%d: %d of %d bytes free, mtools says %d: %v", c.bits, free, size, want, err)
		}
	}
	if _, _, err := FATSpace(zeros{}); err == nil {
		t.Error("nothing passes for a FAT filesystem")
	}
}

type zeros struct{}

func (zeros) ReadAt(b []byte, _ int64) (int, error) { return len(b), nil }
