package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/rootfs"
)

// Identifiers of made-up images.
const (
	rootUUID = "11111111-1111-4111-8111-111111111111"
	bootUUID = "22222222-2222-4222-8222-222222222222"
	swapUUID = "33333333-3333-4333-8333-333333333333"
	rootPart = "44444444-4444-4444-8444-444444444444"
	espID    = "1234-ABCD"
	mib      = 1 << 20
)

// part is a partition of a made-up image: its line of an sfdisk script, the program that formats it,
// and where it is mounted.
type part struct {
	script, mkfs, mount string
}

var (
	espPart  = part{"size=16MiB, type=uefi", "mkfs.vfat -i 1234ABCD", "/boot/efi"}
	bootPart = part{"size=32MiB, type=linux", "mkfs.ext4 -q -F -U " + bootUUID, "/boot"}
	extRoot  = part{"size=32MiB, type=linux, name=root, uuid=" + rootPart, "mkfs.ext4 -q -F -L root -U " + rootUUID, "/"}
	biosPart = part{"size=1MiB, type=21686148-6449-6E6F-744E-656564454649", "", ""}
)

// fixture makes an image: a disk with empty filesystems, and beside it the files that these would
// hold, since it is the product's mounts that bring the two together, and they are not tested here.
func fixture(t *testing.T, label string, parts []part, files map[string]string) Image {
	t.Helper()
	disk := makeDisk(t, label, parts)
	disk.Root = makeTree(t, files)
	return disk
}

func run(t *testing.T, input, program string, args ...string) {
	t.Helper()
	c := hostcmd.Unconfined("a test", program, args...)
	c.Stdin = strings.NewReader(input)
	if _, err := c.Output(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func makeDisk(t *testing.T, label string, parts []part) Image {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "disk.raw"))
	must(err)
	t.Cleanup(func() { _ = file.Close() })
	const size = 512 * mib
	must(file.Truncate(size))
	script := "label: " + label + "\n"
	for _, p := range parts {
		script += p.script + "\n"
	}
	run(t, script, "sfdisk", "-q", file.Name())
	table, err := disk.ReadTable(file, size)
	must(err)
	i := Image{Disk: file, Size: size, Arch: "x86_64"}
	for n, p := range table.Partitions {
		format(t, file, p, parts[n].mkfs)
	}
	for n, v := range disk.Volumes(file, table) {
		if parts[n].mount != "" {
			i.Mounts = append(i.Mounts, image.Mounted{Path: parts[n].mount, Volume: v})
		}
	}
	return i
}

// format makes a filesystem in a file of its own, and puts it into its place on the disk.
func format(t *testing.T, file *os.File, p disk.Partition, mkfs string) {
	t.Helper()
	if mkfs == "" {
		return
	}
	alone := filepath.Join(t.TempDir(), "fs")
	if err := os.WriteFile(alone, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(alone, p.Size); err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(mkfs)
	run(t, "", words[0], append(words[1:], alone)...)
	run(t, "", "dd", "if="+alone, "of="+file.Name(), "bs=1M", fmt.Sprintf("seek=%d", p.Start/mib), "conv=notrunc,sparse", "status=none")
}

// makeTree makes files and folders. A name that ends in / is a folder; a text that begins with -> is a
// link.
func makeTree(t *testing.T, files map[string]string) *rootfs.Root {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(text, "->"); {
		case link:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(text), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := rootfs.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// merge joins sets of files; later ones win.
func merge(sets ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, s := range sets {
		for k, v := range s {
			all[k] = v
		}
	}
	return all
}

var (
	someKernel    = strings.Repeat("MZ", 4096)
	someInitramfs = "070701" + strings.Repeat("0", 4096)
)

// kernelFiles are those of one kernel and of a system; initramfs is the name of its initramfs in /boot.
func kernelFiles(version, initramfs string) map[string]string {
	return merge(systemFiles(), map[string]string{
		"/boot/vmlinuz-" + version: someKernel, "/boot/" + initramfs: someInitramfs,
		"/usr/lib/modules/" + version + "/modules.dep": "",
	})
}

// systemFiles are what every system needs to boot.
func systemFiles() map[string]string {
	return map[string]string{
		"/lib": "->usr/lib", "/sbin": "->usr/sbin", "/bin": "->usr/bin", "/dev/": "", "/proc/": "", "/sys/": "", "/run/": "",
		"/usr/sbin/init": "->../lib/systemd/systemd", "/usr/lib/systemd/systemd": elfProgram{}.make(),
		"/usr/lib/systemd/system/default.target": "", "/usr/lib/systemd/systemd-udevd": elfProgram{}.make(),
		"/usr/bin/sh": elfProgram{}.make(), "/usr/bin/mount": "#!/bin/sh\n", "/usr/sbin/modprobe": "#! /bin/sh -e\n", "/usr/sbin/update-initramfs": "#!/bin/sh",
		"/etc/passwd": "root:x:0:0::/root:/bin/sh\n",
	}
}

// program makes an EFI program for x86-64 of sections.
func program(sections map[string][]byte) string {
	var head, body bytes.Buffer
	const optional, first = 240, 1024
	head.Write(append([]byte("MZ"), make([]byte, 58)...))
	_ = binary.Write(&head, binary.LittleEndian, uint32(64))
	head.WriteString("PE\x00\x00")
	_ = binary.Write(&head, binary.LittleEndian, []uint16{0x8664, uint16(len(sections)), 0, 0, 0, 0, 0, 0, optional, 0})
	_ = binary.Write(&head, binary.LittleEndian, uint16(0x20b))
	head.Write(make([]byte, 108-2))
	_ = binary.Write(&head, binary.LittleEndian, uint32(16)) // data directories
	head.Write(make([]byte, optional-112))
	for name, data := range sections {
		padded := append([]byte(nil), data...)
		padded = append(padded, make([]byte, 512-len(data)%512)...)
		var field [8]byte
		copy(field[:], name)
		head.Write(field[:])
		at := uint32(first + body.Len())
		_ = binary.Write(&head, binary.LittleEndian, []uint32{uint32(len(data)), at, uint32(len(padded)), at, 0, 0, 0, 0})
		body.Write(padded)
	}
	head.Write(make([]byte, first-head.Len()))
	return head.String() + body.String()
}

func shimProgram() string {
	return program(map[string][]byte{".sbat": []byte("sbat,1,SBAT Version,sbat,1,x\nshim,4,UEFI shim,shim,1,x\n")})
}

// grubProgram is a GRUB of some version that looks for its configuration in a folder.
func grubProgram(version, prefix string) string {
	object := append([]byte(prefix), 0)
	var mods bytes.Buffer
	mods.WriteString("mimg\x00\x00\x00\x00")
	_ = binary.Write(&mods, binary.LittleEndian, []uint64{24, uint64(24 + 8 + len(object))})
	_ = binary.Write(&mods, binary.LittleEndian, []uint32{3, uint32(8 + len(object))})
	mods.Write(object)
	return program(map[string][]byte{
		"mods": mods.Bytes(), ".sbat": []byte("sbat,1,SBAT Version,sbat,1,x\ngrub,4,FSF,grub," + version + ",x\n"),
	})
}

// efiFiles are a shim and a GRUB.
func efiFiles(prefix string) map[string]string {
	return map[string]string{
		"/boot/efi/EFI/BOOT/BOOTX64.EFI": shimProgram(), "/boot/efi/EFI/BOOT/grubx64.efi": grubProgram("2.06", prefix),
	}
}
