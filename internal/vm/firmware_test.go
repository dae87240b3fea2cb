package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/hostcmd"
)

// makeDisk returns a 16 MiB disk image in a format of QEMU's, with a table that sfdisk made.
func makeDisk(t *testing.T, script, driver string) string {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "disk,raw")
	if err := os.WriteFile(raw, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(raw, 16<<20); err != nil {
		t.Fatal(err)
	}
	if script != "" {
		sfdisk := hostcmd.Unconfined("a test", "sfdisk", "--quiet", raw)
		sfdisk.Stdin = strings.NewReader(script)
		if err := sfdisk.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if driver == "raw" {
		return raw
	}
	out := raw + "." + driver
	if err := hostcmd.Unconfined("a test", "qemu-img", "convert", "-f", "raw", "-O", driver, raw, out).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFirmwareFollowsThePartitionTable(t *testing.T) {
	t.Parallel()
	const biosGrub = "21686148-6449-6E6F-744E-656564454649"
	for _, c := range []struct {
		name, script, driver string
		want                 disk
	}{
		{"empty", "", "raw", disk{BIOS, 512}},
		{"GPT with an ESP", "label: gpt\nsize=4MiB,type=uefi\ntype=linux", "raw", disk{UEFI, 512}},
		{"ESP is the last of three", "label: gpt\nsize=1MiB\nsize=1MiB\ntype=uefi", "vhdx", disk{UEFI, 512}},
		{"GPT for BIOS", "label: gpt\nsize=1MiB,type=" + biosGrub + "\ntype=linux", "qcow2", disk{BIOS, 512}},
		{"GPT for both", "label: gpt\nsize=1MiB,type=" + biosGrub + "\nsize=4MiB,type=uefi\ntype=linux", "vpc", disk{UEFI, 512}},
		{"MBR", "label: dos\ntype=83", "raw", disk{BIOS, 512}},
		{"MBR with an ESP", "label: dos\nsize=4MiB,type=ef\ntype=83", "qcow2", disk{UEFI, 512}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			image := makeDisk(t, c.script, c.driver)
			got, err := probe(t.Context(), image, c.driver, []string{image})
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// sfdisk writes 4096-byte sectors only to a device, so the table's sectors are moved apart here.
func TestSectorSizeFollowsThePartitionTable(t *testing.T) {
	t.Parallel()
	small, err := os.ReadFile(makeDisk(t, "label: gpt\nsize=4MiB,type=uefi", "raw"))
	if err != nil {
		t.Fatal(err)
	}
	large := make([]byte, headSize)
	copy(large, small[:512])
	copy(large[4096:], small[512:1024])
	copy(large[2*4096:], small[1024:1024+128*128])
	if got, want := readDisk(large), (disk{UEFI, 4096}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestStartErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Image: "x", Format: "vmdk"}, `cannot boot format "vmdk": use raw, qcow2, vhd, vhd-fixed, vhdx, vdi or iso`},
		{Options{Image: dir + "/absent", Format: "raw"}, "absent"},
		{Options{Image: makeDisk(t, "", "raw"), Format: "qcow2"}, "not in qcow2 format"},
		{Options{Image: makeDisk(t, "", "raw"), Format: "raw", Firmware: "coreboot"}, `no firmware is named "coreboot": use uefi or bios`},
	} {
		m, err := Start(t.Context(), c.o)
		if err == nil {
			_ = m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	if _, err := uefiArgs(new(handed), [][2]string{{dir + "/code", dir + "/vars"}}, nil); err == nil || !strings.Contains(err.Error(), "apt-get install ovmf") {
		t.Errorf("got %v", err)
	}
}

func FuzzReadDisk(f *testing.F) {
	gpt := make([]byte, 8192)
	copy(gpt[512:], "EFI PART")
	gpt[512+72], gpt[512+80], gpt[512+84] = 2, 128, 128
	copy(gpt[1024:], espType)
	f.Add(gpt)
	f.Add(gpt[:600])
	mbr := make([]byte, 512)
	mbr[450], mbr[510], mbr[511] = 0xef, 0x55, 0xaa
	f.Add(mbr)
	f.Fuzz(func(t *testing.T, head []byte) {
		got := readDisk(head)
		if (got.firmware != UEFI && got.firmware != BIOS) || (got.sector != 512 && got.sector != 4096) {
			t.Errorf("got %+v", got)
		}
	})
}
