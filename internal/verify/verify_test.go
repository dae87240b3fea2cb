package verify

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNew(t *testing.T) {
	t.Parallel()
	oldError, movedError := Finding{File: "/a", Line: 1, Text: "x"}, Finding{File: "/a", Line: 7, Text: "x"}
	newError := Finding{File: "/a", Line: 1, Text: "y"}
	oldWarning, newWarning := Finding{Text: "w", Warning: true}, Finding{Text: "v", Warning: true}
	wrong, known := New([]Finding{oldError, oldWarning}, []Finding{movedError, newError, oldWarning, newWarning})
	if diff := cmp.Diff([]Finding{newError}, wrong); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Finding{movedError, newWarning}, known); diff != "" {
		t.Error(diff)
	}
}

// TestTable: a disk that was cut too short, or not at all.
func TestTable(t *testing.T) {
	t.Parallel()
	i := makeDisk(t, "gpt", []part{biosPart})
	for size, want := range map[int64]int{i.Size: 0, i.Size - mib: 1, i.Size + mib: 1} {
		if found := Table(i.Disk, size); len(found) != want {
			t.Errorf("%d bytes: %v", size, found)
		}
	}
}
