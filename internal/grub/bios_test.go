package grub

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

func TestEmbedBIOS(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	first := bytes.Repeat([]byte{0x11}, 512)
	if _, err := f.WriteAt(first, 0); err != nil {
		t.Fatal(err)
	}
	image, core := bytes.Repeat([]byte{0x22}, 512), bytes.Repeat([]byte{0x33}, 1300)
	if err := EmbedBIOS(f, image, core, Area{1 << 20, 1 << 20}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 512)
	if _, err := f.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	for place, want := range map[int]byte{0: 0x22, 0x03: 0x11, 0x59: 0x11, 0x5a: 0x22, 0x65: 0x22, 0x66: 0x90, 0x67: 0x90, 0x1b7: 0x22, 0x1b8: 0x11, 0x1fd: 0x11, 0x1fe: 0x22} {
		if got[place] != want {
			t.Errorf("byte %#x is %#x, want %#x", place, got[place], want)
		}
	}
	if s := binary.LittleEndian.Uint64(got[0x5c:]); s != 2048 {
		t.Errorf("the core image is said to be at sector %d", s)
	}
	list := make([]byte, 12)
	if _, err := f.ReadAt(list, 1<<20+500); err != nil {
		t.Fatal(err)
	}
	if start, n, segment := binary.LittleEndian.Uint64(list), binary.LittleEndian.Uint16(list[8:]), list[10]; start != 2049 || n != 2 || segment != 0x33 {
		t.Errorf("the rest is said to be %d sectors at %d, segment %#x", n, start, segment)
	}
}

func TestEmbedBIOSRefuses(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	good := make([]byte, 512)
	for name, err := range map[string]error{
		"core image too large": EmbedBIOS(f, good, make([]byte, 5000), Area{512, 4608}),
		"boot image too large": EmbedBIOS(f, make([]byte, 513), make([]byte, 1024), Area{512, 4608}),
		"core image too short": EmbedBIOS(f, good, make([]byte, 512), Area{512, 4608}),
	} {
		if err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

func TestStartsGRUB(t *testing.T) {
	t.Parallel()
	disk := make([]byte, 512)
	if StartsGRUB(bytes.NewReader(disk)) {
		t.Error("an empty sector starts GRUB")
	}
	copy(disk[0x180:], "GRUB \x00Geom")
	if !StartsGRUB(bytes.NewReader(disk)) {
		t.Error("GRUB's boot image is not recognized")
	}
}
