package boot

import (
	"context"
	"io/fs"
	"path"
	"testing"
	"testing/fstest"

	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/rootfs"
)

// memory is an image in memory.
type memory struct{ fstest.MapFS }

func (m memory) key(name string) string { return path.Clean("./" + name) }

func (m memory) ReadFile(name string) ([]byte, error) { return m.MapFS.ReadFile(m.key(name)) }

func (m memory) ReadAs(_ rootfs.Kind, name string) ([]byte, error) { return m.ReadFile(name) }
func (m memory) ReadDir(name string) ([]fs.DirEntry, error)        { return m.MapFS.ReadDir(m.key(name)) }

func (m memory) WriteFile(name string, data []byte, mode fs.FileMode) error {
	if old := m.MapFS[m.key(name)]; old != nil {
		mode = old.Mode
	}
	m.MapFS[m.key(name)] = &fstest.MapFile{Data: data, Mode: mode}
	return nil
}

func image(files map[string]string) memory {
	m := memory{fstest.MapFS{}}
	for name, text := range files {
		_ = m.WriteFile(name, []byte(text), 0o644)
	}
	return m
}

func (m memory) text(t *testing.T, name string) string {
	t.Helper()
	data, err := m.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (m memory) scheme(t *testing.T) Scheme {
	t.Helper()
	s, err := Detect(m)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// changeArgs adds kernel arguments, and drops those of the names.
func changeArgs(files memory, s Scheme, args []string, drop ...string) (Changed, error) {
	return s.Loader().Change(files, Change{Add: args, Drop: drop})
}

// output runs a program that must be there and succeed.
func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := hostcmd.Unconfined("a test", program, args...).Output(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const envHeader = "# GRUB Environment Block\n"
