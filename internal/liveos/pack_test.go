package liveos

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPack reads the files back by the names that they had, and makes the same bytes again.
func TestPack(t *testing.T) {
	t.Parallel()
	scratch, out := t.TempDir(), t.TempDir()
	files := map[string]string{"meta-data": "instance-id: x\n", "user-data": "#cloud-config\n"}
	var texts []string
	for _, name := range []string{"a.iso", "b.iso"} {
		f, err := os.Create(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := Pack(t.Context(), scratch, time.Unix(1700000000, 0), "cidata", files, f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if left, err := os.ReadDir(filepath.Join(scratch, "pack")); err != nil || len(left) > 0 {
		t.Errorf("left beside the medium: %v, %v", left, err)
	}
	m, err := openMedium(t.Context(), filepath.Join(out, "a.iso"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.text("user-data"); err != nil || got != "#cloud-config\n" {
		t.Errorf("%q, %v", got, err)
	}
	label, err := exec.Command("blkid", "-p", "-s", "LABEL", "-o", "value", filepath.Join(out, "a.iso")).Output()
	if err != nil || strings.TrimSpace(string(label)) != "cidata" {
		t.Errorf("label %q, %v", label, err)
	}
	if texts[0] != texts[1] {
		t.Error("the same files make other bytes")
	}
}
