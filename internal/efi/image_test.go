package efi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const realStub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"

func realBase(t testing.TB) Base {
	t.Helper()
	data, err := os.ReadFile(realStub)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ReadBase(io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestHeadersGrow: a stub has room for a few more section headers only; behind them all moves, and objdump still reads it.
func TestHeadersGrow(t *testing.T) {
	t.Parallel()
	b := realBase(t)
	var sections []Section
	for n := range 60 {
		sections = append(sections, Bytes(fmt.Sprintf(".s%d", n), []byte(strings.Repeat("x", n*100+1))))
	}
	a, err := b.With(nil, sections)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(a)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadImage(bytes.NewReader(data), int64(len(data)))
	if err != nil || got.HeaderSize <= b.HeaderSize {
		t.Fatalf("%+v %v", got, err)
	}
	if problems := got.Problems(int64(len(data))); len(problems) > 0 {
		t.Error(problems)
	}
	for _, s := range b.Sections { // those of the stub are the same
		x, y := make([]byte, s.Size()), make([]byte, s.Size())
		s.Content(b.File).ReadAt(x, 0)
		got.Find(s.Name)[0].Content(bytes.NewReader(data)).ReadAt(y, 0)
		if !bytes.Equal(x, y) {
			t.Errorf("%s is another", s.Name)
		}
	}
	file := filepath.Join(t.TempDir(), "x.efi")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("objdump", "-h", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), ".s59") || !strings.Contains(string(out), fmt.Sprintf("%08x", 5901)) {
		t.Errorf("%v: %s", err, out)
	}
}

// TestPartsThatChange: a file that grows or shrinks while it is read would shift all that stands behind it.
func TestPartsThatChange(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{3, 5} {
		a, err := realBase(t).With(nil, []Section{{Name: ".linux", Size: size, Data: strings.NewReader("1234")}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(a); !errors.Is(err, errSize) {
			t.Errorf("%d: %v", size, err)
		}
	}
}

// TestTooManySections: where the first section lies is how far headers can reach.
func TestTooManySections(t *testing.T) {
	t.Parallel()
	_, err := realBase(t).With(nil, make([]Section, 1000))
	if err == nil || !strings.Contains(err.Error(), "no room for 1000 more sections") {
		t.Error(err)
	}
}

func FuzzReadImage(f *testing.F) {
	data, err := os.ReadFile(realStub)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[:0x600])
	f.Add(data[:0x100])
	a, err := realBase(f).With(map[string][]byte{".sbat": []byte(strings.Repeat("a", 1000))}, []Section{Bytes(".cmdline", []byte("a"))})
	if err != nil {
		f.Fatal(err)
	}
	whole, err := io.ReadAll(a)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, data []byte) {
		i, err := ReadImage(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		i.Problems(int64(len(data)))
		a, err := Base{i, bytes.NewReader(data)}.With(map[string][]byte{".sbat": []byte("x")}, []Section{Bytes(".cmdline", []byte("quiet"))})
		if err != nil || a.Size > 1<<20 {
			return
		}
		made, err := io.ReadAll(a)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadImage(bytes.NewReader(made), int64(len(made)))
		if err != nil || len(got.Find(".cmdline")) == 0 {
			t.Fatalf("what was made of it is no program: %v", err)
		}
		s := got.Sections[len(got.Sections)-1]
		if text, err := io.ReadAll(s.Content(bytes.NewReader(made))); string(text) != "quiet" || err != nil {
			t.Fatalf("%q %v", text, err)
		}
	})
}
