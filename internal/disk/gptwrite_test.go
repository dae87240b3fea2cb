package disk

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testTable(sector int) *Table {
	return &Table{
		Kind: "gpt", SectorSize: sector, ID: "11111111-2222-3333-4444-555566667777",
		Partitions: []Partition{
			{Number: 1, Start: 1 * mib, Size: 8 * mib, Type: TypeESP, UUID: "aaaaaaaa-0000-4000-8000-000000000001", Name: "EFI System", Attributes: 1},
			{Number: 3, Start: 10 * mib, Size: 20 * mib, Type: TypeGUID("linux-generic", ""), UUID: "aaaaaaaa-0000-4000-8000-000000000003", Name: "rööt 😀"},
			{Number: 128, Start: 30 * mib, Size: 9 * mib, Type: TypeSwap, UUID: "aaaaaaaa-0000-4000-8000-000000000080"},
		},
	}
}

// TestWriteGPT reads what it writes back, from the primary table and from the backup alone, and asks
// sfdisk for its opinion.
func TestWriteGPT(t *testing.T) {
	t.Parallel()
	const size = 40 * mib
	for _, sector := range []int{512, 4096} {
		name := blank(t, size)
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		code := bytes.Repeat([]byte("boot"), bootCodeSize/4)
		if _, err := f.WriteAt(code, 0); err != nil {
			t.Fatal(err)
		}
		want := testTable(sector)
		if err := want.WriteGPT(f, size); err != nil {
			t.Fatal(err)
		}
		for _, damage := range []bool{false, true} {
			if damage {
				if _, err := f.WriteAt(make([]byte, sector), int64(sector)); err != nil {
					t.Fatal(err)
				}
			}
			got, err := ReadTable(f, size)
			if err != nil {
				t.Fatal(err)
			}
			if damage != (len(got.Warnings) > 0) || damage != got.Damaged {
				t.Errorf("damage %v: %v, warnings %v", damage, got.Damaged, got.Warnings)
			}
			got.Warnings, got.Damaged = nil, false
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("sector %d, damage %v: %s", sector, damage, d)
			}
			if sector == 512 && !damage {
				sfdiskAgrees(t, name, want)
			}
		}
		if got := make([]byte, bootCodeSize); true {
			if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, code) {
				t.Errorf("the boot code was changed: %v", err)
			}
		}
	}
}

func sfdiskAgrees(t *testing.T, name string, want *Table) {
	t.Helper()
	var found struct {
		PartitionTable struct {
			ID         string
			Partitions []struct {
				Start, Size      int64
				Type, UUID, Name string
			}
		}
	}
	if err := json.Unmarshal([]byte(run(t, "sfdisk", "--json", name)), &found); err != nil {
		t.Fatal(err)
	}
	if out := run(t, "sfdisk", "--verify", name); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk --verify: %s", out)
	}
	if !strings.EqualFold(found.PartitionTable.ID, want.ID) || len(found.PartitionTable.Partitions) != len(want.Partitions) {
		t.Fatalf("sfdisk sees %+v", found)
	}
	for i, p := range found.PartitionTable.Partitions {
		w := want.Partitions[i]
		if p.Start*512 != w.Start || p.Size*512 != w.Size || !strings.EqualFold(p.Type, w.Type) || !strings.EqualFold(p.UUID, w.UUID) {
			t.Errorf("sfdisk sees %+v, want %+v", p, w)
		}
	}
}

func TestWriteGPTRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Table){
		"overlap":      func(x *Table) { x.Partitions[1].Start = 2 * mib },
		"outside":      func(x *Table) { x.Partitions[2].Size = 100 * mib },
		"number":       func(x *Table) { x.Partitions[0].Number = 129 },
		"no type":      func(x *Table) { x.Partitions[0].Type = "swap" },
		"no UUID":      func(x *Table) { x.Partitions[0].UUID = "aaaaaaaa-0000-4000-8000-00000000000g" },
		"long name":    func(x *Table) { x.Partitions[0].Name = strings.Repeat("x", 37) },
		"no disk GUID": func(x *Table) { x.ID = "" },
	} {
		x := testTable(512)
		change(x)
		f, err := os.OpenFile(blank(t, 40*mib), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.WriteGPT(f, 40*mib); err == nil {
			t.Errorf("%s: written", name)
		}
		f.Close()
	}
}
