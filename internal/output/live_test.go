package output

import (
	"context"
	"encoding/binary"
	"errors"
	"imagecustomizer/internal/diskformat"
	"os"
	"strings"
	"testing"
)

// volume is the smallest file that checkISO takes, of that many sectors.
func volume(sectors uint32) []byte {
	b := make([]byte, 20*2048)
	copy(b[16*2048:], "\x01CD001\x01")
	binary.LittleEndian.PutUint32(b[16*2048+80:], sectors)
	return b
}

func TestWriteLiveChecksWhatWasWritten(t *testing.T) {
	t.Parallel()
	iso, err := diskformat.Parse("iso")
	if err != nil {
		t.Fatal(err)
	}
	failure := errors.New("no medium")
	for name, c := range map[string]struct {
		content []byte
		err     error
		want    string
	}{
		"whole":     {content: volume(20)},
		"truncated": {content: volume(21), want: "has 40960 bytes, the volume 43008"},
		"empty":     {want: "cannot read the volume descriptor"},
		"no ISO":    {content: make([]byte, 20*2048), want: "the volume descriptor begins with"},
		"failed":    {content: volume(20), err: failure, want: "cannot write the iso output: no medium"},
	} {
		out := t.TempDir() + "/out"
		err := WriteLive(context.Background(), iso, out, func(context.Context) error {
			return errors.Join(os.WriteFile(out, c.content, 0o644), c.err)
		})
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestALiveFormatIsNotMadeFromADisk(t *testing.T) {
	t.Parallel()
	iso, _ := diskformat.Parse("iso")
	if err := Write(context.Background(), iso, diskformat.Raw(sparseDisk(t, mib), mib), t.TempDir()+"/out", nil); err == nil {
		t.Error("a disk was written as an ISO image")
	}
}
