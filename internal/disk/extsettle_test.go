package disk

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagecustomizer/internal/hostcmd"
)

func runTool(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := hostcmd.New(program, args...).Reading(args[len(args)-1]).Output(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// extTree is files of every kind that has checksums of its own: a directory with an index, a file with an extent tree,
// links, holes.
func extTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	many := filepath.Join(dir, "many")
	for i := range 1200 {
		name := filepath.Join(many, fmt.Sprintf("%s-%d", strings.Repeat("long", 10), i))
		if err := os.MkdirAll(many, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(dir + "/holes")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		if _, err := f.WriteAt([]byte("data"), int64(i)*16384); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(strings.Repeat("/long", 50), dir+"/link"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSettleExt settles filesystems of many kinds, which e2fsck must find whole, and which then are the same.
func TestSettleExt(t *testing.T) {
	t.Parallel()
	trees := [2]string{extTree(t), extTree(t)} // their times differ
	at := time.Unix(1_750_000_000, 0)
	for name, options := range map[string][]string{
		"usual":          {"-t", "ext4"},
		"small blocks":   {"-t", "ext4", "-b", "1024"},
		"small inodes":   {"-t", "ext4", "-I", "128"},
		"no checksums":   {"-t", "ext4", "-O", "^metadata_csum"},
		"seed of sums":   {"-t", "ext4", "-O", "metadata_csum_seed"},
		"narrow":         {"-t", "ext4", "-O", "^64bit"},
		"orphan file":    {"-t", "ext4", "-O", "orphan_file"},
		"ext2":           {"-t", "ext2"},
		"no flex groups": {"-t", "ext4", "-O", "^flex_bg"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var made [2][]byte
			for i := range made {
				image := filepath.Join(t.TempDir(), "fs")
				if err := os.WriteFile(image, nil, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(image, 64<<20); err != nil {
					t.Fatal(err)
				}
				c := hostcmd.New("mke2fs", append(append([]string{"-q", "-F", "-U", "12345678-1234-4000-8000-000000000001",
					"-E", "hash_seed=12345678-1234-4000-8000-000000000002", "-d", trees[i]}, options...), image)...)
				c.Reading(trees[i]).Writing(image)
				c.Env = append([]string{"E2FSPROGS_FAKE_TIME=1790000000"}, hostcmd.DefaultEnv...)
				if err := c.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				f, err := os.OpenFile(image, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				if err := SettleExt(f, time.Unix(1_760_000_000, 0), at); err != nil {
					t.Fatal(err)
				}
				f.Close()
				runTool(t, "e2fsck", "-fn", image)
				if made[i], err = os.ReadFile(image); err != nil {
					t.Fatal(err)
				}
				if s := runTool(t, "debugfs", "-R", "stat /holes", image); !strings.Contains(s, "mtime: 0x684ee180") {
					t.Errorf("times are as they were:\n%s", s)
				}
			}
			if !bytes.Equal(made[0], made[1]) {
				t.Error("the two differ")
			}
		})
	}
}

func TestSettleExtRefuses(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{"nothing": make([]byte, 4096), "short": make([]byte, 100)} {
		f, err := os.Create(filepath.Join(t.TempDir(), "fs"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := SettleExt(f, time.Unix(0, 0), time.Unix(0, 0)); err == nil {
			t.Errorf("%s is settled", name)
		}
	}
}

// FuzzSettleExt damages a filesystem: that may be refused, but takes no long time and no more room.
func FuzzSettleExt(f *testing.F) {
	image := filepath.Join(f.TempDir(), "fs")
	if err := os.WriteFile(image, make([]byte, 512<<10), 0o644); err != nil {
		f.Fatal(err)
	}
	if err := hostcmd.New("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", "^has_journal", image).Writing(image).Run(context.Background()); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(image)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0x28+1024), uint32(0xffffffff), uint32(0), uint32(1))
	f.Fuzz(func(_ *testing.T, at1, value1, at2, value2 uint32) {
		data := memoryDisk(bytes.Clone(good))
		for _, c := range [][2]uint32{{at1, value1}, {at2, value2}} {
			copy(data[int(c[0])%len(data):], []byte{byte(c[1]), byte(c[1] >> 8), byte(c[1] >> 16), byte(c[1] >> 24)})
		}
		_ = SettleExt(data, time.Unix(0, 0), time.Unix(1, 0))
	})
}

// memoryDisk is a disk in memory.
type memoryDisk []byte

func (d memoryDisk) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || at > int64(len(d)) {
		return 0, os.ErrInvalid
	}
	return bytes.NewReader(d).ReadAt(b, at)
}

func (d memoryDisk) WriteAt(b []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(b)) > int64(len(d)) {
		return 0, os.ErrInvalid
	}
	return copy(d[at:], b), nil
}
