package diskformat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestQCOW2WithoutQEMU: the tables suffice for what qemu-img writes uncompressed.
func TestQCOW2WithoutQEMU(t *testing.T) {
	t.Parallel()
	from := rawDisk(t, diskSize)
	for _, name := range []string{"qcow2", "qcow2 old", "qcow2 lazy", "qcow2 small clusters", "qcow2 snapshot"} {
		if got, err := walk(t, "qcow2", read(t, qcow2Input(t, name, from))); err != nil || !bytes.Equal(got, read(t, from)) {
			t.Errorf("%s: the disk is not the same, %v", name, err)
		}
	}
}

// qcow2Input makes images that inputs has not: only here do they take another way.
func qcow2Input(t *testing.T, name, from string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image")
	convert := []string{"convert", "-f", "raw", "-O", "qcow2"}
	switch name {
	case "qcow2 small clusters":
		tool(t, "qemu-img", append(convert, "-o", "cluster_size=512", from, file)...)
	case "qcow2 snapshot": // of another state of the disk, which must not be taken for it
		tool(t, "qemu-img", append(convert, from, file)...)
		tool(t, "qemu-io", "-f", "qcow2", "-c", "write -P 7 3M 200k", file)
		tool(t, "qemu-img", "snapshot", "-c", "other", file)
		tool(t, "qemu-io", "-f", "qcow2", "-c", "write -s "+part(t, from)+" 3M 200k", file)
	case "qcow2 compressed":
		tool(t, "qemu-img", append(convert, "-c", from, file)...)
	case "qcow2 zeroed": // clusters that have a place in the file and read as zeros all the same
		tool(t, "qemu-img", append(convert, from, file)...)
		tool(t, "qemu-io", "-f", "qcow2", "-c", "write -z 3M 128k", file)
	default:
		return input(t, name, from)
	}
	return file
}

// part is a file with what the disk has from 3 MiB on.
func part(t *testing.T, from string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(name, read(t, from)[3*mib:4*mib], 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestQCOW2Zeroed(t *testing.T) {
	t.Parallel()
	from := rawDisk(t, diskSize)
	want := read(t, from)
	clear(want[3*mib : 3*mib+128<<10])
	if got, err := walk(t, "qcow2", read(t, qcow2Input(t, "qcow2 zeroed", from))); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the disk is not the same, %v", err)
	}
}

// TestQCOW2Faults: where the tables do not suffice, nothing was written and qemu-img is asked.
func TestQCOW2Faults(t *testing.T) {
	t.Parallel()
	from := rawDisk(t, diskSize)
	good := read(t, input(t, "qcow2", from))
	l1 := int64(binary.BigEndian.Uint64(good[40:]))
	l2 := int64(binary.BigEndian.Uint64(good[l1:]) & qcow2Offset)
	for fault, change := range map[string]func(d []byte) []byte{
		"backing file":       func(d []byte) []byte { d[15] = 1; return d },
		"encrypted":          func(d []byte) []byte { d[35] = 1; return d },
		"dirty":              func(d []byte) []byte { d[79] = 1; return d },
		"version 4":          func(d []byte) []byte { d[7] = 4; return d },
		"clusters of 16 MiB": func(d []byte) []byte { d[23] = 24; return d },
		"short first table":  func(d []byte) []byte { clear(d[36:40]); return d },
		"tables outside":     func(d []byte) []byte { d[l1+1] = 0xff; return d },
		"cluster outside":    func(d []byte) []byte { d[l2+1] = 0xff; return d },
		"cluster askew":      func(d []byte) []byte { d[l2+6] ^= 2; return d },
		"compressed":         func(d []byte) []byte { d[l2] |= 0x40; return d },
		"truncated":          func(d []byte) []byte { return d[:90] },
	} {
		got, err := walk(t, "qcow2", change(bytes.Clone(good)))
		if !errors.Is(err, errQCOW2) || len(got) > 0 {
			t.Errorf("fault in %s: %d bytes written, %v", fault, len(got), err)
		}
	}
	for _, name := range []string{"qcow2 extended", "qcow2 compressed"} {
		if got, err := walk(t, "qcow2", read(t, qcow2Input(t, name, from))); !errors.Is(err, errQCOW2) || len(got) > 0 {
			t.Errorf("%s: %d bytes written, %v", name, len(got), err)
		}
	}
}

func FuzzQCOW2(f *testing.F) {
	name := filepath.Join(f.TempDir(), "image")
	tool(f, "qemu-img", "create", "-q", "-f", "qcow2", "-o", "preallocation=metadata,cluster_size=4096", name, "9M")
	d := read(f, name)
	l1 := binary.BigEndian.Uint64(d[40:])
	f.Add(d[:104], d[l1:l1+64], d[binary.BigEndian.Uint64(d[l1:])&qcow2Offset:][:64])
	f.Fuzz(func(t *testing.T, header, first, second []byte) {
		d := make([]byte, 1<<20)
		copy(d, header)
		copy(d, "QFI\xfb")
		binary.BigEndian.PutUint64(d[40:], 64<<10)
		copy(d[64<<10:128<<10], first)
		copy(d[128<<10:256<<10], second)
		q, err := readQCOW2(bytes.NewReader(d), int64(len(d)))
		if err != nil || q.disk > 1<<40 {
			return
		}
		last := int64(0)
		err = q.each(t.Context(), func(from, to, n int64) error {
			if from <= 0 || from >= q.file || to < last || n <= 0 || to+n > q.disk {
				t.Errorf("%d bytes from %d to %d, after %d", n, from, to, last)
			}
			last = to + n
			return nil
		})
		if err != nil && !errors.Is(err, errQCOW2) && !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
}
