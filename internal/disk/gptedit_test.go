package disk

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sfdiskDisk makes a disk with a table as sfdisk writes it, and returns its open file.
func sfdiskDisk(t *testing.T, size int64, script string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("sfdisk", "-q", path)
	c.Stdin = strings.NewReader(script)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return f
}

func dump(t *testing.T, f *os.File) string {
	t.Helper()
	out, err := exec.Command("sfdisk", "--dump", f.Name()).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if verify, err := exec.Command("sgdisk", "-v", f.Name()).CombinedOutput(); err != nil || !strings.Contains(string(verify), "No problems found") {
		t.Fatalf("sgdisk: %v: %s", err, verify)
	}
	return strings.ReplaceAll(string(out), f.Name(), "D")
}

const threeParts = `label: gpt
label-id: 0A1B2C3D-1111-4222-8333-44445555AAAA
first-lba: 38
table-length: 144
start=2048, size=8192, uuid=0A1B2C3D-1111-4222-8333-44445555BBBB, name="one", attrs="RequiredPartition GUID:60"
start=40, size=1000, type=21686148-6449-6E6F-744E-656564454649, uuid=0A1B2C3D-1111-4222-8333-44445555CCCC
start=20480, size=40960, uuid=0A1B2C3D-1111-4222-8333-44445555DDDD, name="three"
`

// TestEditGPT compares what is left and what is changed with what sfdisk sees.
func TestEditGPT(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, c := range []struct {
		name    string
		size    int64
		edit    func(*Table) error
		replace []string // in the dump
	}{
		{"nothing", 64 * mib, func(*Table) error { return nil }, nil},
		{"grown", 200 * mib, func(t *Table) error {
			t.Partitions[2].Size = 150 * mib
			return nil
		}, []string{"size=       40960", "size=      307200"}},
		{"shrunk", 40 * mib, func(t *Table) error {
			t.Partitions[2].Size = 5 * mib
			return nil
		}, []string{"size=       40960", "size=       10240"}},
		{"renamed", 64 * mib, func(t *Table) error {
			t.ID = "00000000-1111-4222-8333-44445555aaaa"
			t.Partitions[1].UUID = "00000000-1111-4222-8333-44445555bbbb"
			return nil
		}, []string{"0A1B2C3D-1111-4222-8333-44445555AAAA", "00000000-1111-4222-8333-44445555AAAA", "0A1B2C3D-1111-4222-8333-44445555BBBB", "00000000-1111-4222-8333-44445555BBBB"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := sfdiskDisk(t, 64*mib, threeParts)
			before := dump(t, f)
			if err := EditGPT(f, c.size, c.edit); err != nil {
				t.Fatal(err)
			}
			fi, err := f.Stat()
			if err != nil || fi.Size() != c.size {
				t.Fatalf("%v, %v", fi.Size(), err)
			}
			without := func(s string) string { // what must differ where the size does
				var kept []string
				for line := range strings.Lines(s) {
					if !strings.HasPrefix(line, "last-lba") {
						kept = append(kept, line)
					}
				}
				return strings.Join(kept, "")
			}
			if got, want := without(dump(t, f)), without(strings.NewReplacer(c.replace...).Replace(before)); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			table, err := ReadTable(f, c.size)
			if err != nil || len(table.Warnings) > 0 {
				t.Errorf("%v %q", err, table.Warnings)
			}
		})
	}
}

// TestHybridMBRFollows: the entries of a hybrid MBR show where their partitions are.
func TestHybridMBRFollows(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	f := sfdiskDisk(t, 64*mib, "label: gpt\nsize=8M\nsize=8M\nsize=8M\n")
	if out, err := exec.Command("sgdisk", "-h", "1:3", f.Name()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := EditGPT(f, 80*mib, func(t *Table) error {
		t.GrowPartition(2, 4*mib)
		t.Partitions[0].Size = 4 * mib
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	mbr := make([]byte, mbrSize)
	if _, err := f.ReadAt(mbr, 0); err != nil {
		t.Fatal(err)
	}
	entries, _ := primaries(mbr)
	shown := map[int64]int64{}
	for _, e := range entries {
		if !e.empty() && !e.protective() {
			shown[e.start*512/mib] = e.count * 512 / mib
		}
	}
	if d := cmp.Diff(map[int64]int64{1: 4, 21: 8}, shown); d != "" {
		t.Errorf("%s\n%+v", d, entries)
	}
}

func TestEditGPTRefuses(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for want, edit := range map[string]func(*Table) error{
		"overlap":             func(t *Table) error { t.Partitions[1].Size = 30 * mib; return nil },
		"needs what lies":     func(t *Table) error { t.Partitions[2].Size = 54 * mib; return nil },
		"no place":            func(t *Table) error { t.Partitions[2].Number = 145; return nil },
		`"x" is no GUID`:      func(t *Table) error { t.Partitions[2].UUID = "x"; return nil },
		"os: process already": func(*Table) error { return os.ErrProcessDone },
	} {
		f := sfdiskDisk(t, 64*mib, threeParts)
		before := dump(t, f)
		if err := EditGPT(f, 64*mib, edit); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if dump(t, f) != before {
			t.Errorf("%s: the table was changed all the same", want)
		}
	}
}

func TestEditGPTMendsTheCopies(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, at := range map[string]int64{"primary": 512, "backup": 64*mib - 512} {
		f := sfdiskDisk(t, 64*mib, threeParts)
		before := dump(t, f)
		if _, err := f.WriteAt([]byte("damaged"), at); err != nil {
			t.Fatal(err)
		}
		if err := EditGPT(f, 64*mib, func(*Table) error { return nil }); err != nil {
			t.Fatal(name, err)
		}
		if dump(t, f) != before {
			t.Errorf("%s: another table", name)
		}
	}
}
