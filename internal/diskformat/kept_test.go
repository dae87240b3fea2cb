package diskformat

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// rewritten writes a disk anew, as a file of the format that another file is like, and as the worker gets to know it.
func rewritten(t *testing.T, from, like string) string {
	t.Helper()
	i, err := Probe(t.Context(), like, true)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Like(like, i)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var again Format
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "again")
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again = again.As(Identity{UUID: func(string) string { return "aaaaaaaa-aaaa-4aaa-aaaa-aaaaaaaaaaaa" }})
	if err := again.Write(t.Context(), Raw(from, i.Size), out, func(_, _ int64) {}); err != nil {
		t.Fatal(err)
	}
	if err := again.Verify(t.Context(), i.Size, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// facts are what qemu-img says of a file, but for its name and how much of it is used.
func facts(t *testing.T, file string) map[string]any {
	t.Helper()
	out, err := exec.Command("qemu-img", "info", "--output=json", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"filename", "actual-size", "children"} {
		delete(all, k)
	}
	return all
}

func compressedClusters(t *testing.T, file string) (n int) {
	t.Helper()
	out, err := exec.Command("qemu-img", "check", "--output=json", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Compressed int `json:"compressed-clusters"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatal(err)
	}
	return all.Compressed
}

func TestQCOW2IsKept(t *testing.T) {
	t.Parallel()
	from := rawDisk(t, diskSize)
	for _, options := range []string{
		"", "compat=0.10", "compat=0.10 -c", "cluster_size=4096", "cluster_size=2M", "lazy_refcounts=on", "refcount_bits=64", "refcount_bits=1", "extended_l2=on,cluster_size=128k",
		"compression_type=zstd -c", "compression_type=zlib -c", "compression_type=zstd", "cluster_size=32k,lazy_refcounts=on,compression_type=zstd -c", "preallocation=metadata",
	} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			image := filepath.Join(t.TempDir(), "image")
			args := []string{"convert", "-f", "raw", "-O", "qcow2"}
			if o, c := strings.CutSuffix(options, " -c"); c {
				args, options = append(args, "-c"), o
			}
			if options != "" {
				args = append(args, "-o", options)
			}
			tool(t, "qemu-img", append(args, from, image)...)
			again := rewritten(t, from, image)
			want, got := facts(t, image), facts(t, again)
			if options == "compression_type=zstd" { // which says how clusters would be compressed, and none is
				want, got = map[string]any{"virtual-size": want["virtual-size"]}, map[string]any{"virtual-size": got["virtual-size"]}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%v became %v", want, got)
			}
			if a, b := compressedClusters(t, image) > 0, compressedClusters(t, again) > 0; a != b {
				t.Errorf("compressed: %v became %v", a, b)
			}
			tool(t, "qemu-img", "compare", image, again)
		})
	}
}

// TestQCOW2WithMoreThanADisk is refused: what is lost otherwise is named.
func TestQCOW2WithMoreThanADisk(t *testing.T) {
	t.Parallel()
	from := rawDisk(t, diskSize)
	for want, prepare := range map[string]func(image string){
		"internal snapshots": func(image string) { tool(t, "qemu-img", "snapshot", "-c", "a", image) },
		"bitmaps":            func(image string) { tool(t, "qemu-img", "bitmap", "--add", image, "b") },
		"backing file": func(image string) {
			tool(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", from, "-F", "raw", image)
		},
		"in another file": func(image string) {
			tool(t, "qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file="+image+".data", image, fmt.Sprint(diskSize))
		},
	} {
		image := filepath.Join(t.TempDir(), "image")
		tool(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", from, image)
		prepare(image)
		i, err := Probe(t.Context(), image, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Like(image, i); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), image) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestIdentifiersAreKept: a hypervisor that knows a disk by its identifier, as VirtualBox does, still knows it.
func TestIdentifiersAreKept(t *testing.T) {
	t.Parallel()
	from := rawDisk(t, diskSize)
	for _, c := range []struct {
		format string
		at     func(t *testing.T, d []byte) []byte
	}{
		{"vhd", func(_ *testing.T, d []byte) []byte { return d[len(d)-footerSize:][68:84] }},
		{"vhd-fixed", func(_ *testing.T, d []byte) []byte { return d[len(d)-footerSize:][68:84] }},
		{"vdi", func(_ *testing.T, d []byte) []byte { return d[vdiCreated : vdiCreated+16] }},
		{"vhdx", func(t *testing.T, d []byte) []byte {
			v, err := readVHDX(strings.NewReader(string(d)), int64(len(d)))
			if err != nil {
				t.Fatal(err)
			}
			return v.id[:]
		}},
	} {
		f, err := Parse(c.format)
		if err != nil {
			t.Fatal(err)
		}
		image := filepath.Join(t.TempDir(), "image")
		args := []string{"convert", "-f", "raw", "-O", f.driver}
		if f.driver == "vpc" {
			args = append(args, "-o", strings.Join(f.options, ","))
		}
		tool(t, "qemu-img", append(args, from, image)...)
		again := rewritten(t, from, image)
		a, b := c.at(t, read(t, image)), c.at(t, read(t, again))
		if string(a) != string(b) || string(a) == string(make([]byte, 16)) {
			t.Errorf("%s: %x became %x", c.format, a, b)
		}
		if i, err := Probe(t.Context(), again, false); err != nil || i.Name != c.format {
			t.Errorf("%s became %s, %v", c.format, i.Name, err)
		}
	}
}

func TestOverlayIsFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for backing, want := range map[string]string{
		"base.raw": dir + "/base.raw", dir + "/base.raw": dir + "/base.raw", "file:base.raw": dir + "/base.raw",
		`json:{"driver":"raw","file":{"driver":"file","filename":"` + dir + `/base.raw"}}`: dir + "/base.raw",
		"": "",
	} {
		image := filepath.Join(dir, "top.qcow2")
		tool(t, "qemu-img", "create", "-q", "-f", "raw", dir+"/base.raw", "1M")
		args := []string{"create", "-q", "-f", "qcow2"}
		if backing != "" {
			args = append(args, "-u", "-b", backing, "-F", "raw")
		}
		tool(t, "qemu-img", append(args, image, "1M")...)
		f, err := os.Open(image)
		if err != nil {
			t.Fatal(err)
		}
		if got := OverlayOf(image, f); got != want {
			t.Errorf("%q: %q", backing, got)
		}
		f.Close()
	}
}
