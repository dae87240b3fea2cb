package diskformat

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
)

// tool runs a program that the test needs.
func tool(t testing.TB, program string, args ...string) {
	t.Helper()
	if err := hostcmd.Unconfined("a test", program, args...).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// rawDisk makes a disk of that size with a partition table and some random data, which says nothing of
// its size to fixed geometries: 1 MiB more than a round number of cylinders.
func rawDisk(t testing.TB, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk.raw")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	c := hostcmd.Unconfined("a test", "sfdisk", "-q", name)
	c.Stdin = strings.NewReader("label: gpt\n")
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, mib+4096)
	random := rand.NewChaCha8([32]byte{1})
	for _, at := range []int64{3 * mib, 3*mib + 5*mib + 512, size / 2, size - 3*mib} {
		if _, err := random.Read(data); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(data, at); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// inputs are the formats read, with all the ways in which qemu-img writes them, by its options. A
// file that lost at least so many bytes must be seen to be truncated: a qcow2 may lack part of its
// last cluster, a vhdx ends with the unused part of its last block, and by geometry disks are larger
// than what is in them.
var inputs = map[string]struct {
	format, driver, options string
	loss                    int
}{
	"raw":                   {"raw", "raw", "", 512},
	"qcow2":                 {"qcow2", "qcow2", "compat=1.1", 64 << 10},
	"qcow2 old":             {"qcow2", "qcow2", "compat=0.10", 64 << 10},
	"qcow2 extended":        {"qcow2", "qcow2", "extended_l2=on,cluster_size=131072", 128 << 10},
	"qcow2 lazy":            {"qcow2", "qcow2", "lazy_refcounts=on", 64 << 10},
	"vhd":                   {"vhd", "vpc", "force_size=on", 512},
	"vhd by geometry":       {"vhd", "vpc", "", 512},
	"vhd-fixed":             {"vhd-fixed", "vpc", "subformat=fixed,force_size=on", 1024},
	"vhd-fixed by geometry": {"vhd-fixed", "vpc", "subformat=fixed", mib},
	"vhdx":                  {"vhdx", "vhdx", "", 8 * mib},
	"vhdx small blocks":     {"vhdx", "vhdx", "block_size=1048576", 512},
	"vhdx fixed":            {"vhdx", "vhdx", "subformat=fixed", 8 * mib},
	"vdi":                   {"vdi", "vdi", "", 1024},
}

const diskSize = 65 * mib

// input makes an image in one of the formats. By geometry, VHD disks are made larger.
func input(t testing.TB, name, from string) string {
	t.Helper()
	in := inputs[name]
	file := filepath.Join(t.TempDir(), "image")
	args := []string{"convert", "-f", "raw", "-O", in.driver}
	if in.options != "" {
		args = append(args, "-o", in.options)
	}
	tool(t, "qemu-img", append(args, from, file)...)
	return file
}

func convert(t testing.TB, from string, f Image) string {
	t.Helper()
	dst, err := os.Create(filepath.Join(t.TempDir(), "out.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	var last int64
	if err := Read(t.Context(), from, f, dst, func(done, total int64) {
		if done < last || total != f.Size {
			t.Errorf("progress of %d after %d, of %d", done, last, total)
		}
		last = done
	}); err != nil {
		t.Fatal(err)
	}
	return dst.Name()
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestProbeAndConvert(t *testing.T) {
	t.Parallel()
	from := rawDisk(t, diskSize)
	want := sha256.Sum256(read(t, from))
	for name, in := range inputs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := input(t, name, from)
			f, err := Probe(t.Context(), file, false)
			if err != nil {
				t.Fatal(err)
			}
			if f.Name != in.format || f.Size != diskSize && !strings.Contains(name, "geometry") {
				t.Fatalf("got %+v", f)
			}
			out := convert(t, file, f)
			data := read(t, out)
			if int64(len(data)) != f.Size || sha256.Sum256(data[:diskSize]) != want || len(bytes.Trim(data[diskSize:], "\x00")) > 0 {
				t.Error("the disk is not the same")
			}
			var st unix.Stat_t
			if err := unix.Stat(out, &st); err != nil || st.Blocks*512 > 12*mib {
				t.Errorf("%d bytes are used, %v", st.Blocks*512, err)
			}
		})
	}
}

func TestDenseFileBecomesSparse(t *testing.T) {
	t.Parallel()
	data := read(t, rawDisk(t, diskSize))
	dense := filepath.Join(t.TempDir(), "dense.raw")
	if err := os.WriteFile(dense, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out := convert(t, dense, Image{Name: "raw", Size: diskSize})
	var st unix.Stat_t
	if err := unix.Stat(out, &st); err != nil || st.Blocks*512 > 12*mib {
		t.Errorf("%d bytes are used, %v", st.Blocks*512, err)
	}
	if !bytes.Equal(read(t, out), data) {
		t.Error("the disk is not the same")
	}
}

func TestConvertIsCancelled(t *testing.T) {
	t.Parallel()
	from := rawDisk(t, diskSize)
	for _, name := range []string{"raw", "qcow2"} {
		file := input(t, name, from)
		f, err := Probe(t.Context(), file, false)
		if err != nil {
			t.Fatal(err)
		}
		dst, err := os.Create(filepath.Join(t.TempDir(), "out.raw"))
		if err != nil {
			t.Fatal(err)
		}
		defer dst.Close()
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		err = Read(ctx, file, f, dst, func(_, _ int64) {})
		if !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestTruncated cuts each format's file in several places; none may pass for whole.
func TestTruncated(t *testing.T) {
	t.Parallel()
	from := rawDisk(t, diskSize)
	for name, in := range inputs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := input(t, name, from)
			data := read(t, file)
			for _, keep := range []int{0, 10, 512, 4096, 100000, len(data) / 2, len(data) - in.loss} {
				if err := os.WriteFile(file, data[:keep], 0o600); err != nil {
					t.Fatal(err)
				}
				if f, err := Probe(t.Context(), file, false); err == nil {
					t.Errorf("%d of %d bytes are taken for %+v", keep, len(data), f)
				} else if !strings.Contains(err.Error(), file) {
					t.Errorf("the error does not name the file: %v", err)
				}
			}
		})
	}
}

func TestFurtherFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from := rawDisk(t, diskSize)
	tool(t, "cp", from, dir+"/base.raw")
	tool(t, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.raw", dir+"/overlay")
	tool(t, "qemu-img", "convert", "-O", "qcow2", "-o", "data_file="+dir+"/data,data_file_raw=on", from, dir+"/split")
	for name, want := range map[string]string{
		"overlay": `refers to a further file, "base.raw", which is read too only with --allow-backing-file`,
		"split":   "refers to a further file that holds its data",
	} {
		if _, err := Probe(t.Context(), dir+"/"+name, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", name, err)
		}
		f, err := Probe(t.Context(), dir+"/"+name, true)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read(t, convert(t, dir+"/"+name, f)), read(t, from)) {
			t.Errorf("%s: the disk is not the same", name)
		}
	}
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	from := rawDisk(t, diskSize)
	file := filepath.Join(t.TempDir(), "file")
	for want, command := range map[string]string{
		"a vmdk file":                            "qemu-img convert -O vmdk FROM FILE",
		"a qed file":                             "qemu-img create -q -f qed FILE 64M",
		"a parallels file":                       "qemu-img create -q -f parallels FILE 64M",
		"a gzip file":                            "gzip -c FROM >FILE",
		"a zstd file":                            "zstd -q -f FROM -o FILE",
		"a xz file":                              "head -c 1M FROM | xz -c >FILE",
		"a vmdk":                                 "qemu-img convert -O vmdk -o subformat=monolithicFlat FROM FILE",
		"not a whole number of 512-byte sectors": "echo '# a text file of some length' >FILE; seq 1000 >>FILE",
	} {
		tool(t, "sh", "-ec", strings.NewReplacer("FROM", from, "FILE", file).Replace(command))
		if f, err := Probe(t.Context(), file, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %+v, %v", want, f, err)
		}
	}
	if _, err := Probe(t.Context(), file+".absent", false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// footerOf is a VHD footer with a right checksum.
func footerOf(kind uint32, size int64) []byte {
	b := make([]byte, footerSize)
	copy(b, "conectix")
	binary.BigEndian.PutUint64(b[48:], uint64(size))
	binary.BigEndian.PutUint32(b[60:], kind)
	sign(b)
	return b
}

func probeBytes(data []byte, allowBacking bool) (Image, error) {
	return candidate{bytes.NewReader(data), int64(len(data)), allowBacking}.probe()
}

func TestVHDFooter(t *testing.T) {
	t.Parallel()
	const size = mib
	disk := make([]byte, size)
	broken := footerOf(2, size)
	broken[50]++
	for want, f := range map[string][]byte{
		"":                         footerOf(2, size),
		"holds 1048576":            footerOf(2, size+512),
		"is a differencing VHD":    footerOf(4, size),
		"no byte, or more than":    footerOf(3, -size),
		"checksum of the VHD foot": broken,
	} {
		data := append(bytes.Clone(disk), f...)
		got, err := probeBytes(data, false)
		if want == "" && (err != nil || got != Image{Name: "vhd-fixed", Size: size}) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q, got %+v, %v", want, got, err)
		}
	}
}

func TestTruncatedRawIsNamedSo(t *testing.T) {
	t.Parallel()
	data := read(t, rawDisk(t, diskSize))[:32*mib]
	for _, tail := range [][]byte{nil, footerOf(2, 32*mib)} {
		d := append(bytes.Clone(data), tail...)
		if _, err := probeBytes(d, false); !errors.Is(err, disk.ErrTruncated) {
			t.Errorf("got %v", err)
		}
	}
}

func FuzzProbe(f *testing.F) {
	f.Add(make([]byte, 1024), footerOf(2, 1024))
	f.Add([]byte("conectix"), footerOf(3, 1<<40))
	f.Add([]byte("QFI\xfb\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x70\x00\x00\x00\x08"), bytes.Repeat([]byte("name"), 200))
	f.Fuzz(func(t *testing.T, head, tail []byte) {
		data := append(append(head, make([]byte, 512)...), tail...)
		got, err := probeBytes(data, false)
		if err == nil && byName(got.Name).plain && (got.Size <= 0 || got.Size > int64(len(data))) {
			t.Errorf("%+v of %d bytes", got, len(data))
		}
		if _, err := probeBytes(head, true); err == nil && len(head) < 512 {
			t.Error("a file of a few bytes is taken for an image")
		}
	})
}

// FuzzVHD tries footers whose checksum is right, and so is no protection.
func FuzzVHD(f *testing.F) {
	f.Add(footerOf(2, 1024), int64(1024))
	f.Add(footerOf(3, 1<<40), int64(4096))
	f.Add(footerOf(4, 1<<20), int64(1<<20))
	f.Fuzz(func(t *testing.T, end []byte, data int64) {
		if len(end) < footerSize || data < 0 || data > 1<<20 {
			return
		}
		end = end[:footerSize]
		copy(end, "conectix")
		sign(end)
		all := append(make([]byte, data), end...)
		got, err := probeBytes(all, false)
		if err == nil && (got.Size <= 0 || got.Name == "vhd-fixed" && got.Size != data) {
			t.Errorf("%+v of %d bytes before the footer", got, data)
		}
	})
}
