package vm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"imagecustomizer/internal/hostcmd"
)

// Firmware is what starts the boot loader.
type Firmware string

// The firmwares that QEMU can use.
const (
	UEFI Firmware = "uefi" // OVMF
	BIOS Firmware = "bios" // SeaBIOS, part of QEMU
)

// ovmf lists where distributions keep the UEFI firmware: its code and an empty variable store.
var ovmf = [][2]string{
	{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"}, // Debian, Ubuntu
	{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
	{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"}, // Fedora, Azure Linux
}

// secureOVMF is the same with Secure Boot on and Microsoft's keys enrolled.
var secureOVMF = [][2]string{
	{"/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"},
	{"/usr/share/OVMF/OVMF_CODE.ms.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd"},
	{"/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"},
}

// args are QEMU's arguments that select the firmware.
func (f Firmware) args(files *handed, secure bool, state *State) ([]string, error) {
	switch {
	case f == BIOS && secure:
		return nil, errors.New("BIOS has no Secure Boot: use uefi")
	case f == BIOS:
		return nil, nil
	case f == UEFI && secure:
		// The variables can be changed from System Management Mode only.
		args, err := uefiArgs(files, secureOVMF, state)
		return append(args, "-global", "driver=cfi.pflash01,property=secure,value=on"), err
	case f == UEFI:
		return uefiArgs(files, ovmf, state)
	}
	return nil, fmt.Errorf("no firmware is named %q: use uefi or bios", f)
}

func uefiArgs(files *handed, places [][2]string, state *State) ([]string, error) {
	for _, p := range places {
		if _, err := os.Stat(p[0]); err != nil {
			continue
		}
		variables, err := state.variables(files, p[1])
		return []string{
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + escape(p[0]),
			"-drive", "if=pflash,unit=1," + variables,
		}, err
	}
	return nil, errors.New("the image boots with UEFI, and this host has no firmware for it: apt-get install ovmf")
}

// HasUEFI tells whether this host has UEFI firmware for guests.
func HasUEFI() bool {
	return slices.ContainsFunc(ovmf, func(p [2]string) bool {
		_, err := os.Stat(p[0])
		return err == nil
	})
}

// escape makes a path safe inside a comma-separated option of QEMU.
func escape(path string) string { return strings.ReplaceAll(path, ",", ",,") }

// disk is what booting needs to know of an image.
type disk struct {
	firmware Firmware
	sector   int // logical, bytes
}

// headSize is how much of a disk holds its partition table, whatever the sector size: bytes.
const headSize = 1 << 20

// probe reads the partition table of an image in one of QEMU's formats.
func probe(ctx context.Context, image, driver string, reads []string) (disk, error) {
	tmp, err := scratch()
	if err != nil {
		return disk{}, err
	}
	defer tmp.Close()
	cmd := hostcmd.New("qemu-img", "dd", "-U", "-f", driver, "-O", "raw", "bs="+fmt.Sprint(headSize), "count=1",
		"if="+image, "of=/proc/self/fd/3").Reading(reads...)
	cmd.ExtraFiles = []*os.File{tmp}
	if err := cmd.Run(ctx); err != nil {
		return disk{}, fmt.Errorf("read the partition table of %s: %w", image, err)
	}
	head := make([]byte, headSize)
	n, err := tmp.ReadAt(head, 0)
	if n == 0 {
		return disk{}, fmt.Errorf("read the partition table of %s: %w", image, err)
	}
	return readDisk(head[:n]), nil
}

// espType is the GPT type of an EFI system partition, C12A7328-F81F-11D2-BA4B-00A0C93EC93B, as its
// bytes lie on the disk (UEFI specification 5.3.3).
var espType = []byte{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}

// readDisk looks for an EFI system partition in a GPT of either sector size, then in an MBR. A disk
// without one is for BIOS.
func readDisk(head []byte) disk {
	for _, sector := range []int{512, 4096} {
		if len(head) < 2*sector || !bytes.HasPrefix(head[sector:], []byte("EFI PART")) {
			continue
		}
		if gptHasESP(head, sector) {
			return disk{UEFI, sector}
		}
		return disk{BIOS, sector}
	}
	if mbrHasESP(head) {
		return disk{UEFI, 512}
	}
	return disk{BIOS, 512}
}

func gptHasESP(head []byte, sector int) bool {
	h := head[sector:]
	first := binary.LittleEndian.Uint64(h[72:]) * uint64(sector)
	count := uint64(binary.LittleEndian.Uint32(h[80:]))
	size := uint64(binary.LittleEndian.Uint32(h[84:]))
	for i := range count {
		at := first + i*size
		if size < 128 || size > uint64(len(head)) || at < first || at > uint64(len(head))-size {
			return false
		}
		if bytes.Equal(head[at:at+16], espType) {
			return true
		}
	}
	return false
}

// mbrHasESP tells whether a primary partition has type 0xEF.
func mbrHasESP(head []byte) bool {
	if len(head) < 512 || head[510] != 0x55 || head[511] != 0xaa {
		return false
	}
	for at := 446; at < 510; at += 16 {
		if head[at+4] == 0xef {
			return true
		}
	}
	return false
}
