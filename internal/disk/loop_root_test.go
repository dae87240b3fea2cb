//go:build root

package disk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/test/rootns"
)

func TestMain(m *testing.M) { os.Exit(rootns.Main(m.Run)) }

// attach attaches a disk made by the test and detaches it when the test ends.
func attach(t testing.TB, name string, sector int) *Loop {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	l, err := AttachLoop(f, "/dev", sector)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Detach(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// nodes makes a node for each partition in a folder of the test.
func nodes(t testing.TB, l *Loop, table *Table) map[int]string {
	t.Helper()
	numbers, err := l.AddPartitions(table)
	if err != nil {
		t.Fatal(err)
	}
	paths := map[int]string{}
	for n, dev := range numbers {
		paths[n] = filepath.Join(t.TempDir(), "part")
		if err := unix.Mknod(paths[n], unix.S_IFBLK|0o600, int(dev)); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

func TestPartitionsOfLoopDevice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		disk   string
		sector int
	}{
		"gpt":  {partitioned(t, 32*mib, gptScript), 512},
		"mbr":  {partitioned(t, 32*mib, "label: dos\n2048,8M,83,*\n,,5\n,4M,83\n,4M,82\n"), 512},
		"4096": {disk4K(t), 4096},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := attach(t, c.disk, c.sector)
			table, err := read(readFile(t, c.disk))
			if err != nil || table.SectorSize != c.sector {
				t.Fatal(table, err)
			}
			for n, node := range nodes(t, l, table) {
				size, err := deviceSize(node)
				for _, p := range table.Partitions {
					if p.Number == n && (p.Size != size || err != nil) {
						t.Errorf("partition %d has %d bytes, the table says %d; %v", n, size, p.Size, err)
					}
				}
			}
			if _, err := l.AddPartitions(table); err != nil {
				t.Error("partitions that are there already:", err)
			}
			table.Partitions[0].Size -= 4096
			if _, err := l.AddPartitions(table); err == nil || !strings.Contains(err.Error(), "the kernel sees it at") {
				t.Errorf("a partition of another size is taken: %v", err)
			}
		})
	}
}

func TestDetachNoticesAnotherProgram(t *testing.T) {
	t.Parallel()
	f, err := os.OpenFile(blank(t, mib), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := AttachLoop(f, "/dev", 512)
	if err != nil {
		t.Fatal(err)
	}
	l.file.Ino++
	if err := l.Detach(); err == nil || !strings.Contains(err.Error(), "another file") {
		t.Errorf("got %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for range 4 {
				f, err := os.OpenFile(partitioned(t, 32*mib, gptScript), os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				l, err := AttachLoop(f, "/dev", 512)
				if err != nil {
					t.Fatal(err)
				}
				table, err := ReadTable(f, 32*mib)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := l.AddPartitions(table); err != nil {
					t.Error(err)
				}
				if err := l.Detach(); err != nil {
					t.Error(err)
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// formatted makes a filesystem on a loop device and returns the device's node and the file.
func formatted(t testing.TB, size int64, mkfs string) (node, file string) {
	t.Helper()
	file = blank(t, size)
	run(t, "sh", "-ec", mkfs+" "+file+" >&2")
	return attach(t, file, 512).Node(), file
}

// used is what a sparse file takes, in bytes.
func used(t testing.TB, name string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func syncfs(t testing.TB, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
}

func TestMountWriteTrim(t *testing.T) {
	t.Parallel()
	for fs, mkfs := range map[string]string{
		"ext4": "mkfs.ext4 -q", "ext2": "mkfs.ext2 -q", "xfs": "mkfs.xfs -q -m uuid=" + someUUID, "btrfs": "mkfs.btrfs -q",
	} {
		t.Run(fs, func(t *testing.T) {
			t.Parallel()
			node, file := formatted(t, 320*mib, mkfs)
			dir := t.TempDir()
			if err := MountVolume(node, dir, fs, "", false); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/big", []byte(strings.Repeat("data", 16*mib)), 0o600); err != nil {
				t.Fatal(err)
			}
			syncfs(t, dir)
			before := used(t, file)
			size, free, err := Space(dir)
			if err != nil || size < 100*mib || free > size-64*mib {
				t.Error(size, free, err)
			}
			if err := os.Remove(dir + "/big"); err != nil {
				t.Fatal(err)
			}
			if err := Trim(dir); err != nil {
				t.Error(err)
			}
			if after := used(t, file); before < 64*mib || after > before-60*mib {
				t.Errorf("%d bytes were used, %d after trimming", before, after)
			}
			if err := Unmount(dir); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTwoXFSWithOneUUID(t *testing.T) {
	t.Parallel()
	var stack Stack
	defer func() {
		if err := stack.Undo(); err != nil {
			t.Error(err)
		}
	}()
	for range 2 {
		node, _ := formatted(t, 320*mib, "mkfs.xfs -q -m uuid=0a1b2c3d-1111-4222-8333-444455557777")
		dir := t.TempDir()
		if err := MountVolume(node, dir, "xfs", "", false); err != nil {
			t.Fatal(err)
		}
		stack.Push(func() error { return Unmount(dir) })
	}
}

func TestUnmountNamesWhoIsInTheWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("test", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	sleep := hostcmd.Unconfined("a test", "sleep", "1000")
	sleep.Dir = dir
	ended := make(chan error)
	go func() { ended <- sleep.Run(ctx) }()
	time.Sleep(200 * time.Millisecond)
	if err := os.Mkdir(dir+"/a b", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("test", dir+"/a b", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	err := Unmount(dir)
	if err == nil || !strings.Contains(err.Error(), "(sleep) by "+dir) || !strings.Contains(err.Error(), "the mount at "+dir+"/a b") {
		t.Errorf("got %v", err)
	}
	end()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := Unmount(dir + "/a b"); err != nil {
		t.Error(err)
	}
	if err := Unmount(dir); err != nil {
		t.Error(err)
	}
}

func TestTrimWaitsForWriters(t *testing.T) {
	t.Parallel()
	node, _ := formatted(t, 32*mib, "mkfs.ext4 -q")
	dir := t.TempDir()
	if err := MountVolume(node, dir, "ext4", "", false); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(dir + "/open")
	if err != nil {
		t.Fatal(err)
	}
	if err := Trim(dir); err == nil || !strings.Contains(err.Error(), "make read-only "+dir) || !strings.Contains(err.Error(), "by "+dir+"/open") {
		t.Errorf("got %v", err)
	}
	time.AfterFunc(300*time.Millisecond, func() { _ = f.Close() })
	if err := Trim(dir); err != nil {
		t.Error(err)
	}
	if err := Unmount(dir); err != nil {
		t.Error(err)
	}
}

func TestMountSaysWhy(t *testing.T) {
	t.Parallel()
	node, _ := formatted(t, 32*mib, "true")
	for fs, want := range map[string]string{"ext4": "it is damaged, or has features", "nosuchfs": "modprobe nosuchfs"} {
		if err := MountVolume(node, t.TempDir(), fs, "", true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", fs, err)
		}
	}
}

// reserve attaches an empty file.
func reserve(t *testing.T) (f *os.File, release func() error) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if release, err = Reserve(f, "/dev"); err != nil {
		t.Fatal(err)
	}
	return f, release
}

// TestReserve: a device that was attached to an empty file shows what the file was filled with.
func TestReserve(t *testing.T) {
	t.Parallel()
	for _, sector := range []int{512, 4096} {
		f, release := reserve(t)
		content := bytes.Repeat([]byte("reserved"), 1<<20)
		if _, err := f.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
		l, err := AttachLoop(f, "/dev", sector)
		if err != nil {
			t.Fatal(err)
		}
		if err := release(); err != nil { // is not ours any more
			t.Fatal(err)
		}
		got, err := os.ReadFile(l.Node())
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("the device has %d bytes, the file %d; %v", len(got), len(content), err)
		}
		if s, err := unix.IoctlGetInt(int(l.dev.Fd()), unix.BLKSSZGET); err != nil || s != sector {
			t.Errorf("sectors of %d bytes instead of %d, %v", s, sector, err)
		}
		if err := l.Detach(); err != nil {
			t.Error(err)
		}
	}
}

// TestReserveForNothing: what nobody took is detached.
func TestReserveForNothing(t *testing.T) {
	t.Parallel()
	f, release := reserve(t)
	found, _ := reserved.Load(f)
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if name, err := found.(*Loop).backing(); err == nil && strings.Contains(name, f.Name()) {
		t.Errorf("%s is still attached", f.Name())
	}
}
