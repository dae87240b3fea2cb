package image

import (
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"imagecustomizer/internal/disk"
)

const mib = 1 << 20

// TestSealInPartitions seals partitions of a disk file, with the tree beside and behind the data, and
// has veritysetup judge.
func TestSealInPartitions(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	content := make([]byte, 3*mib)
	rand.New(rand.NewSource(1)).Read(content)
	if _, err := f.WriteAt(content, 2*mib); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(40 * mib); err != nil {
		t.Fatal(err)
	}
	volume := func(n int, start, size int64) disk.Volume {
		return disk.Volume{Partition: disk.Partition{Number: n, Start: start * mib, Size: size * mib, UUID: fmt.Sprint(n)}}
	}
	d := &Disk{file: f, Volumes: []disk.Volume{volume(1, 1, 20), volume(2, 21, 1), volume(3, 22, 18)}}
	for _, c := range []struct {
		hash   string
		device int64 // where the tree lies
		offset int64
		size   int64 // of the data
	}{{"PARTUUID=2", 21, 0, 20}, {"PARTUUID=1", 1, 19 * mib, 19}} {
		s, err := d.Seal(t.Context(), Seal{Name: "root", Data: "PARTUUID=1", Hash: c.hash, DataTag: "PARTUUID", HashTag: "PARTUUID", Salt: []byte("salt"), UUID: [16]byte{9}})
		if err != nil {
			t.Fatal(err)
		}
		if at, err := s.Device.HashOffset(); at != c.offset || err != nil || s.Device.Data != "PARTUUID=1" || s.Device.Hash != c.hash {
			t.Errorf("%+v %v", s.Device, err)
		}
		part := func(start int64) string {
			name := filepath.Join(t.TempDir(), "part")
			dd := exec.Command("dd", "if="+f.Name(), "of="+name, "bs=1M", "status=none", fmt.Sprintf("skip=%d", start), "count=20")
			if out, err := dd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return name
		}
		out, err := exec.Command("veritysetup", "verify", fmt.Sprintf("--hash-offset=%d", c.offset), part(1), part(c.device), s.Device.RootHash).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v %s", c.hash, err, out)
		}
	}
	if _, err := d.Seal(t.Context(), Seal{Data: "PARTUUID=3", Hash: "PARTUUID=2", DataTag: "UUID", HashTag: "PARTUUID"}); err == nil {
		t.Error("a partition without UUID was named by it")
	}
	d.Volumes[1].Size = 4096
	if _, err := d.Seal(t.Context(), Seal{Data: "PARTUUID=1", Hash: "PARTUUID=2"}); err == nil {
		t.Error("a tree was written over the end of its partition")
	}
}
