package output

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/sandbox"
)

// diskSize is not a multiple of frameSize, so that the last zstd frame is a short one.
const diskSize = 101 * mib

// writeTo writes the disk in that format to path, as a run does.
func writeTo(t *testing.T, format, disk, path string) {
	t.Helper()
	f, err := diskformat.Parse(format)
	if err != nil {
		t.Fatal(err)
	}
	p := create(t, path)
	last := int64(-1)
	err = Write(context.Background(), f, diskformat.Raw(disk, diskSize), sandbox.Path(p.File()), func(done, total int64) {
		if done < last || total != diskSize {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	})
	if err != nil {
		t.Fatal(err)
	}
	if last != diskSize {
		t.Errorf("progress ended at %d of %d", last, diskSize)
	}
	if err := Publish(p); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	text, err := hostcmd.Unconfined("a test", program, args...).Output(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWriteAndReadBack(t *testing.T) {
	t.Parallel()
	disk := sparseDisk(t, diskSize)
	for _, c := range []struct {
		format, driver, magic string
		fromEnd               int64 // where the magic is, counted from the end; 0 means at the start
	}{
		{"raw", "raw", "U\xaa", diskSize - 510},
		{"qcow2", "qcow2", "QFI\xfb", 0},
		{"qcow2-zstd", "qcow2", "QFI\xfb", 0},
		{"vhd", "vpc", "conectix", 512},
		{"vhd-fixed", "vpc", "conectix", 512},
		{"vhdx", "vhdx", "vhdxfile", 0},
		{"vdi", "vdi", "<<< ", 0},
	} {
		t.Run(c.format, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir() + "/out"
			writeTo(t, c.format, disk, path)
			run(t, "qemu-img", "compare", "-f", "raw", "-F", c.driver, disk, path)
			wantMagic(t, path, c.magic, c.fromEnd)
			wantSparse(t, path)
		})
	}
}

func wantMagic(t *testing.T, path, magic string, fromEnd int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if fromEnd > 0 {
		b = b[int64(len(b))-fromEnd:]
	}
	if !bytes.HasPrefix(b, []byte(magic)) {
		t.Errorf("%q where %q should be", b[:len(magic)], magic)
	}
}

// wantSparse fails where holes of the disk take space.
func wantSparse(t *testing.T, path string) {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	const blockUnit, most = 512, 16 * mib
	if used := st.Blocks * blockUnit; used > most {
		t.Errorf("takes %d KiB for 5 MiB of data", used>>10)
	}
}

func TestCompressedWithZstdIsReadByZstd(t *testing.T) {
	t.Parallel()
	disk := sparseDisk(t, diskSize)
	path := t.TempDir() + "/out.raw.zst"
	writeTo(t, "raw.zst", disk, path)
	run(t, "zstd", "-q", "-d", path, "-o", path+".raw")
	if sha256Of(t, path+".raw") != sha256Of(t, disk) {
		t.Error("zstd restores other bytes")
	}
	if fi, err := os.Stat(path); err != nil || fi.Size() > 4*mib {
		t.Errorf("%d bytes for 3 MiB that do not compress, %v", fi.Size(), err)
	}
}

func TestSameDiskGivesSameBytes(t *testing.T) {
	t.Parallel()
	disk := sparseDisk(t, diskSize)
	dense := disk + ".dense"
	run(t, "cp", "--sparse=never", disk, dense)
	for _, format := range []string{"raw.zst", "qcow2", "qcow2-zstd"} {
		one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
		writeTo(t, format, disk, one)
		writeTo(t, format, dense, two)
		if sha256Of(t, one) != sha256Of(t, two) {
			t.Errorf("%s differs between two runs, or with where the holes are", format)
		}
	}
}

func TestWriteFrom(t *testing.T) {
	t.Parallel()
	disk := sparseDisk(t, diskSize)
	dir := t.TempDir()
	writeTo(t, "vhdx", disk, dir+"/in.vhdx")
	writeTo(t, "vhd-fixed", disk, dir+"/in.vhd")
	for name, file := range map[string]string{"vhdx": "in.vhdx", "vhd-fixed": "in.vhd"} {
		source := diskformat.Source{Path: filepath.Join(dir, file), Image: diskformat.Image{Name: name, Size: diskSize}}
		for _, format := range []string{"raw", "qcow2", "raw.zst"} {
			t.Run(name+" to "+format, func(t *testing.T) {
				t.Parallel()
				f, err := diskformat.Parse(format)
				if err != nil {
					t.Fatal(err)
				}
				path := t.TempDir() + "/out"
				p, last := create(t, path), int64(0)
				err = WriteFrom(context.Background(), f, source, p, func(done, _ int64) {
					if done < last {
						t.Errorf("progress goes back from %d to %d", last, done)
					}
					last = done
				})
				if err != nil || last != diskSize {
					t.Fatalf("%v; progress ended at %d", err, last)
				}
				if err := Publish(p); err != nil {
					t.Fatal(err)
				}
				if format == "raw.zst" {
					run(t, "zstd", "-q", "-d", "--rm", path, "-o", path+".raw")
					path, format = path+".raw", "raw"
				}
				run(t, "qemu-img", "compare", "-f", "raw", "-F", format, disk, path)
			})
		}
	}
}

func TestWriteFailsForAMissingDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, f := range wholeFormats() {
		p := create(t, dir+"/out")
		err := Write(context.Background(), f, diskformat.Raw(dir+"/missing", diskSize), sandbox.Path(p.File()), nil)
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), "no such file") {
			t.Errorf("%s: %v", f, err)
		}
		p.Discard()
	}
	wantTree(t, dir, map[string]string{})
}

func TestWriteNoticesAnotherSize(t *testing.T) {
	t.Parallel()
	disk := sparseDisk(t, diskSize)
	for _, f := range wholeFormats() {
		p := create(t, t.TempDir()+"/out")
		if err := Write(context.Background(), f, diskformat.Raw(disk, diskSize+mib), sandbox.Path(p.File()), nil); err == nil {
			t.Errorf("%s: a disk 1 MiB shorter than said passes", f)
		}
	}
}

func TestWriteEndsWhenCancelled(t *testing.T) {
	t.Parallel()
	disk := sparseDisk(t, diskSize)
	stop := errors.New("enough")
	for _, f := range wholeFormats() {
		ctx, cancel := context.WithCancelCause(context.Background())
		p := create(t, t.TempDir()+"/out")
		err := Write(ctx, f, diskformat.Raw(disk, diskSize), sandbox.Path(p.File()), func(int64, int64) { cancel(stop) })
		if !errors.Is(err, stop) {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// killedEnv makes the test binary the child of TestKilledHalfWay, writing to the path in it.
const killedEnv = "OUTPUT_TEST_KILLED"

func TestMain(m *testing.M) {
	if path := os.Getenv(killedEnv); path != "" {
		writeUntilKilled(path)
	}
	os.Exit(m.Run())
}

// writeUntilKilled begins an output and never finishes it.
func writeUntilKilled(path string) {
	p, err := Create(path, false)
	if err == nil {
		_, err = p.File().WriteString("half an output")
	}
	if err != nil {
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString("writing\n")
	time.Sleep(time.Hour)
}

func TestKilledHalfWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/out.raw", "old")
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), killedEnv+"="+dir+"/out.raw")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 16)); n != len("writing\n") {
		t.Errorf("the child did not get to writing: %d bytes, %v", n, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	wantTree(t, dir, map[string]string{"out.raw": "old"})
}
