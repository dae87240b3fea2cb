package diskformat

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"imagecustomizer/internal/disk"
)

func TestProbeISO(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/a.iso"
	b := make([]byte, 20*volumeSector)
	copy(b[volumeAt:], "\x01CD001\x01")
	binary.LittleEndian.PutUint32(b[volumeAt+80:], 20)
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if f, err := Probe(context.Background(), file, false); err != nil || f.Name != "iso" || f.Size != int64(len(b)) {
		t.Errorf("%+v, %v", f, err)
	}
	if err := os.Truncate(file, int64(len(b))-2048); err != nil {
		t.Fatal(err)
	}
	if _, err := Probe(context.Background(), file, false); !errors.Is(err, disk.ErrTruncated) {
		t.Errorf("a truncated ISO image: %v", err)
	}
}
