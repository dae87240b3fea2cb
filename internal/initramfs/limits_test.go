package initramfs

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInitramfsIsBounded(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]string{10: "", 11: "more than", 5000: "more than"} {
		_, err := io.Copy(io.Discard, &bounded{bytes.NewReader(make([]byte, size)), 10})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: %v, want %q", size, err, want)
		}
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "initrd"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(maxPacked + 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := mainFormat(f, nil); err == nil || !strings.Contains(err.Error(), "512 MiB") {
		t.Errorf("got %v", err)
	}
}
