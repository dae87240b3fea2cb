package rootfs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFilesAreReadWithinLimits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	line := append(bytes.Repeat([]byte("x"), Text.line), '\n')
	for name, c := range map[string]struct {
		data []byte
		size int64 // sparse
		kind Kind
		want string // in the error
	}{
		"text":       {data: bytes.Repeat(line, 3), kind: Text},
		"long line":  {data: append([]byte("y"), line...), kind: Text, want: "line of more than"},
		"late line":  {data: append([]byte("a\nb\n"), bytes.Repeat([]byte("x"), Text.line+1)...), kind: Text, want: "line of more than"},
		"large text": {size: Text.limit + 1, kind: Text, want: "16 MiB that a text file may have"},
		"program":    {size: Text.limit + 1, kind: Program},
		"huge":       {size: 1 << 40, kind: Program, want: "128 MiB"},
		"huge image": {size: 1 << 40, kind: UnifiedImage, want: "640 MiB"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if c.size > 0 {
			if err := os.Truncate(path, c.size); err != nil {
				t.Fatal(err)
			}
		}
		_, err := r.ReadAs(c.kind, "/"+name)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestFolderWithTooManyEntriesIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for limit, want := range map[int]bool{3: true, 2: false} {
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		list, err := readNames(f, limit)
		if (err == nil) != want || want && len(list) != 3 {
			t.Errorf("limit %d: %d entries, %v", limit, len(list), err)
		}
		f.Close()
	}
}
