package verify

import (
	"slices"
	"strings"
	"testing"
)

// TestBrokenCopies: systemd-boot with copies of what lies in /boot on the EFI system partition.
func TestBrokenCopies(t *testing.T) {
	t.Parallel()
	esp := espPart
	esp.mount = "/boot/efi"
	const entry, kernel, initrd = "/boot/efi/loader/entries/id-6.1.conf", "/boot/efi/id/6.1/linux", "/boot/efi/id/6.1/initrd.img-6.1"
	p := newPatient(t, fixture(t, "gpt", []part{extRoot, esp}, merge(kernelFiles("6.1", "initrd.img-6.1"), map[string]string{
		fstabFile:                        "UUID=" + rootUUID + " / ext4 defaults 0 1\nUUID=" + espID + " /boot/efi vfat umask=0077 0 2\n",
		"/boot/efi/EFI/BOOT/BOOTX64.EFI": program(map[string][]byte{".text": []byte("x")}),
		kernel:                           someKernel, initrd: someInitramfs,
		entry: "title Debian\nlinux /id/6.1/linux\ninitrd /id/6.1/initrd.img-6.1\noptions root=UUID=" + rootUUID + " ro\n",
	})))
	p.check(t, []mutation{
		{"a new kernel", func(p *patient) {
			p.write("/boot/vmlinuz-6.2", strings.Replace(someKernel, "\x00", "\x01", 1)+"2")
		}, `/boot/vmlinuz-6.2: no boot entry loads this kernel`, false},
		{"another kernel of that name", func(p *patient) { p.write("/boot/vmlinuz-6.1", someKernel+"newer") }, `/boot/vmlinuz-6.1: no boot entry loads this kernel`, false},
		{"another initramfs", func(p *patient) { p.write("/boot/initrd.img-6.1", someInitramfs+"newer") }, initrd + `: is another initramfs than /boot/initrd.img-6.1, of which the boot loader should have a copy`, true},
		{"the copy is gone", func(p *patient) { p.hide(kernel) }, entry + `:2: the kernel: names /id/6.1/linux, which is not on partition 2`, false},
	})
	p.write("/boot/initrd.img-6.1", someInitramfs+"newer")
	if found := Run(t.Context(), p.Image); len(found) != 1 || !found[0].Warning {
		t.Fatalf("an image that boots: %v", found)
	} else if wrong, _ := New(nil, found); len(wrong) != 1 {
		t.Error("a run may leave the boot loader with an old copy")
	} else if wrong, _ := New(found, found); len(wrong) != 0 {
		t.Error("an image that had an old copy cannot be customized")
	}
}

// TestBrokenUnified: unified kernel images beside the kernels that they were made of.
func TestBrokenUnified(t *testing.T) {
	t.Parallel()
	esp := espPart
	esp.mount = "/efi"
	const named, unnamed = "/efi/EFI/Linux/named.efi", "/efi/EFI/Linux/unnamed.efi"
	other := strings.Repeat("another kernel\n", 400)
	image := func(kernel, version string) string {
		sections := map[string][]byte{".linux": []byte(kernel), ".initrd": []byte(someInitramfs), ".cmdline": []byte("root=UUID=" + rootUUID + " ro")}
		if version != "" {
			sections[".uname"] = []byte(version)
		}
		return program(sections)
	}
	second := kernelFiles("6.2", "initrd.img-6.2")
	second["/boot/vmlinuz-6.2"] = other
	p := newPatient(t, fixture(t, "gpt", []part{extRoot, esp}, merge(kernelFiles("6.1", "initrd.img-6.1"), second, map[string]string{
		fstabFile:                   "UUID=" + rootUUID + " / ext4 defaults 0 1\nUUID=" + espID + " /efi vfat defaults 0 2\n",
		"/efi/EFI/BOOT/BOOTX64.EFI": program(map[string][]byte{".text": []byte("x")}),
		named:                       image("signed\n", "6.1"), unnamed: image(other, ""),
	})))
	p.check(t, []mutation{
		{"no image of a kernel", func(p *patient) { p.hide(named) }, `/boot/vmlinuz-6.1: no boot entry loads this kernel`, false},
		{"image of an older one", func(p *patient) { p.write(named, image("signed\n", "6.0")) }, `/boot/vmlinuz-6.1: no boot entry loads this kernel`, false},
		{"other bytes", func(p *patient) { p.write("/boot/vmlinuz-6.2", other+"newer") }, `/boot/vmlinuz-6.2: no boot entry loads this kernel`, false},
	})
	p.hide("/boot/initrd.img-6.1")
	if found := Run(t.Context(), p.Image); slices.ContainsFunc(found, func(f Finding) bool { return strings.Contains(f.Text, "initramfs") }) {
		t.Errorf("an initramfs that is in the unified image only: %v", found)
	}
}
