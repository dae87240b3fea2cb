package diskformat

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, name, err string }{
		{in: "raw", name: "raw"},
		{in: "raw.zst", name: "raw.zst"},
		{in: "raw-zst", name: "raw.zst"},
		{in: "qcow2", name: "qcow2"},
		{in: "qcow2-zstd", name: "qcow2-zstd"},
		{in: "vhd", name: "vhd"},
		{in: "vhd-fixed", name: "vhd-fixed"},
		{in: "vhdx", name: "vhdx"},
		{in: "VHDX", err: `unknown output format "VHDX": did you mean "vhdx"? allowed are raw, raw.zst, qcow2, qcow2-zstd, vhd, vhd-fixed, vhdx`},
		{in: "qcow", err: `did you mean "qcow2"?`},
		{in: "vhd_fixed", err: `did you mean "vhd-fixed"?`},
		{in: "parallels", err: `unknown output format "parallels": allowed are raw,`},
		{in: "", err: `unknown output format "": allowed are`},
	} {
		f, err := Parse(c.in)
		if f.Name != c.name || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("Parse(%q) = %q, %v; want %q, %q", c.in, f.Name, err, c.name, c.err)
		}
	}
}

func TestFromPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"out/a.raw": "raw", "a.img": "raw", "a.raw.zst": "raw.zst", "A.VHDX": "vhdx", "a.vhd": "vhd", "a.qcow2": "qcow2", "a.VDI": "vdi",
		"a.zst": "", "vhd": "", "a.vhd.txt": "",
	} {
		f, err := FromPath(path)
		if f.Name != want || (err == nil) != (want != "") {
			t.Errorf("FromPath(%q) = %q, %v; want %q", path, f.Name, err, want)
		}
	}
}

func TestEveryFormatIsWhole(t *testing.T) {
	t.Parallel()
	for _, f := range Formats() {
		if f.About == "" || f.check == nil {
			t.Errorf("%s has no description or no check of what was written", f)
		}
	}
}

func TestAccepts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format string
		size   int64
		err    string
	}{
		{"raw", mib + 512, ""},
		{"raw", mib + 1, "a disk of 1048577 bytes is not a whole number of 512-byte sectors"},
		{"raw", 0, "a disk of 0 bytes"},
		{"vhd-fixed", 3 * mib, ""},
		{"vhd-fixed", 3*mib + 512, "has 3146240 bytes (3 MiB and 512 bytes): make the disk 4 MiB, or write vhd or vhdx"},
		{"vhd", 3*mib + 512, ""},
		{"vhd", vhdMax + mib, "at most 2040 GiB"},
		{"vhdx", vhdMax + mib, ""},
		{"4096 vhd", 8 * mib, "counts sectors of 4096 bytes and a VHD has sectors of 512"},
		{"4096 vhd-fixed", 8 * mib, "counts sectors of 4096 bytes"},
		{"vdi", 3*mib + 512, ""},
		{"vdi", largest + 512, "at most 64 TiB"},
		{"4096 vdi", 8 * mib, "a VDI has sectors of 512"},
		{"4096 vhdx", 8 * mib, ""},
		{"4096 vhdx", 8*mib + 512, "no whole number of its sectors"},
		{"4096 qcow2", 8 * mib, ""},
	} {
		sector := 512
		if name, big := strings.CutPrefix(c.format, "4096 "); big {
			c.format, sector = name, 4096
		}
		f, err := Parse(c.format)
		if err != nil {
			t.Fatal(err)
		}
		err = f.Accepts(c.size, sector)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s accepts %d: %v; want %q", c.format, c.size, err, c.err)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"vhd", "", 3}, {"", "vhd", 3}, {"vhd", "vhdx", 1}, {"qcow", "qcow2", 1}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestPercentages(t *testing.T) {
	t.Parallel()
	var got []int64
	p := &percentages{size: 1000, progress: func(done, _ int64) { got = append(got, done) }}
	for _, piece := range []string{"    (0.00/1", "00%)\r    (12.", "34/100%)\r", "noise\r    (100.00/100%)\r\n", "    (3"} {
		if n, err := p.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	if d := cmp.Diff([]int64{0, 123, 1000}, got); d != "" {
		t.Error(d)
	}
}

func FuzzPercentages(f *testing.F) {
	f.Add("    (12.34/100%)\r", int64(1<<40))
	f.Add("(NaN/100%)\r(1e9/100%)\r(-1/100%)\r", int64(512))
	f.Fuzz(func(t *testing.T, text string, size int64) {
		if size <= 0 {
			return
		}
		p := &percentages{size: size, progress: func(done, total int64) {
			if done < 0 || done > total && total < 1<<52 {
				t.Errorf("%q: %d of %d", text, done, total)
			}
		}}
		_, _ = p.Write([]byte(text))
	})
}

func TestContradicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format, path, other string
	}{
		{"vhdx", "a.vhdx", ""}, {"vhdx", "a.VHD", "vhd"}, {"vhd-fixed", "a.vhd", ""}, {"vhd-fixed", "a.vhdx", "vhdx"}, {"raw", "a.img", ""},
		{"raw", "a.raw.zst", "raw.zst"}, {"raw", "a", ""}, {"qcow2-zstd", "a.qcow2", ""}, {"pxe-dir", "a.iso", "iso"}, {"baremetal-image", "a.bin", ""},
	} {
		f, err := Parse(c.format)
		if err != nil {
			t.Fatal(err)
		}
		if other, contradicts := f.Contradicts(c.path); contradicts != (c.other != "") || contradicts && other.Name != c.other {
			t.Errorf("%s as %s: %v, %v", c.path, c.format, other.Name, contradicts)
		}
	}
}
