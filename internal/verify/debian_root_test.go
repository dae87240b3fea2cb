//go:build root

package verify

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/image"
	"imagecustomizer/test/rootns"
)

func TestMain(m *testing.M) { os.Exit(rootns.Main(m.Run)) }

// copyOf is a copy of a base image.
func copyOf(t *testing.T, variant string) *os.File {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	builder := "../../test/base/debian.sh"
	if !strings.HasPrefix(variant, "debian") {
		builder = "../../test/base/rpm.sh"
	}
	c := hostcmd.Unconfined("a test", builder, variant)
	c.Env = append([]string{"XDG_CACHE_HOME=" + os.Getenv("XDG_CACHE_HOME")}, hostcmd.DefaultEnv...)
	out, err := c.Output(t.Context())
	must(err)
	base := strings.TrimSpace(out)
	format, err := diskformat.Probe(t.Context(), base, false)
	must(err)
	file, err := os.Create(filepath.Join(t.TempDir(), "copy.raw"))
	must(err)
	t.Cleanup(func() { _ = file.Close() })
	must(diskformat.Read(t.Context(), base, format, file, func(_, _ int64) {}))
	return file
}

func openDisk(t *testing.T, file *os.File) *image.Disk {
	t.Helper()
	d, err := image.Open(t.Context(), file, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func imageOf(d *image.Disk, file *os.File) Image {
	size, _ := file.Seek(0, io.SeekEnd) // a test finds no partition table then
	return Image{Disk: file, Size: size, Mounts: d.Mounts, Root: d.Root, Arch: "x86_64", HostDNS: "nameserver 192.0.2.53\n"}
}

// open opens a copy of a base image.
func open(t *testing.T, variant string) Image {
	t.Helper()
	file := copyOf(t, variant)
	return imageOf(openDisk(t, file), file)
}

// TestBases: every base image passes.
func TestBases(t *testing.T) {
	if os.Getenv("FULL") == "" {
		t.Skip("the one of every test run is in TestBrokenDebian")
	}
	for _, v := range strings.Fields("debian12-bios debian12-mbr debian12-4k debian12-xfs debian12-btrfs debian12-parts azl3 mariner2") {
		t.Run(v, func(t *testing.T) { newPatient(t, open(t, v)).sound(t, "as it is") })
	}
}

const (
	grubCfg = "/boot/grub/grub.cfg"
	stubCfg = "/boot/efi/EFI/debian/grub.cfg"
	wrong   = "01234567-89ab-cdef-0123-456789abcdef"
)

// TestBrokenDebian breaks a real image in many ways, one at a time.
func TestBrokenDebian(t *testing.T) {
	p := newPatient(t, open(t, "debian12-efi"))
	table, err := disk.ReadTable(p.Disk, p.Size)
	if err != nil {
		t.Fatal(err)
	}
	volumes := disk.Volumes(p.Disk, table)
	esp, root := volumes[0], volumes[1]
	kernel, initrd := p.glob("/boot", "vmlinuz-"), p.glob("/boot", "initrd.img-")
	version := strings.TrimPrefix(kernel, "/boot/vmlinuz-")
	rootID := root.Content.UUID
	gone := func(name string) func(*patient) { return func(p *patient) { p.hide(name) } }
	p.check(t, []mutation{
		{"fstab: root's UUID", func(p *patient) { p.edit(fstabFile, rootID, wrong) }, `/etc/fstab:3: names UUID=` + wrong + `, but no partition of the image is that`, false},
		{"fstab: ESP's UUID", func(p *patient) { p.edit(fstabFile, esp.Content.UUID, "0000-0001") }, `/etc/fstab:2: names UUID=0000-0001, but no partition of the image is that`, false},
		{"fstab: optional", func(p *patient) { p.insert(fstabFile, "LABEL=data /data ext4 nofail 0 2") }, `/etc/fstab:4: names LABEL=data, but no .*`, true},
		{"fstab: type", func(p *patient) { p.edit(fstabFile, " ext4 ", " xfs ") }, `/etc/fstab:3: says that UUID=.* is xfs, but partition 2 holds ext4`, false},
		{"fstab: root is the ESP", func(p *patient) { p.edit(fstabFile, "UUID="+rootID+" / ext4", "UUID="+esp.Content.UUID+" / vfat") }, `/etc/fstab:3: names partition 1 as the root, but this file lies on partition 2`, false},
		{"fstab: swap", func(p *patient) { p.insert(fstabFile, "UUID="+wrong+" none swap sw 0 0") }, `/etc/fstab:4: names UUID=` + wrong + `, but .*`, false},
		{"fstab: swap file", func(p *patient) { p.insert(fstabFile, "/swapfile none swap sw 0 0") }, `/etc/fstab:4: swaps to the file /swapfile, which .*`, false},
		{"fstab: loop device", func(p *patient) { p.insert(fstabFile, "/dev/loop3p1 /mnt ext4 nofail 0 0") }, `/etc/fstab:4: names /dev/loop3p1, a device of the machine .*`, false},
		{"fstab: bind", func(p *patient) { p.insert(fstabFile, "/srv/none /mnt none bind 0 0") }, `/etc/fstab:4: binds /srv/none, which .*`, false},
		{"fstab: overlay", func(p *patient) {
			p.insert(fstabFile, "overlay /etc overlay lowerdir=/sysroot/etc,upperdir=/sysroot/var/up,workdir=/sysroot/var/work 0 0")
		}, `/etc/fstab:4: the overlay's upperdir /sysroot/var/up is not a folder .*`, false},
		{"fstab: verity", func(p *patient) { p.edit(fstabFile, "UUID="+rootID, "/dev/mapper/root") }, `/etc/fstab:3: mounts /dev/mapper/root, but /boot/grub/grub.cfg:\d+ passes no roothash= .*`, false},
		{"fstab: case of a FAT's number", func(p *patient) { p.edit(fstabFile, esp.Content.UUID, strings.ToLower(esp.Content.UUID)) }, `/etc/fstab:2: names UUID=\S+, but no partition of the image is that \(case, .*: partition 1 is UUID=` + esp.Content.UUID + `\)`, false},
		{"fstab: capitals", func(p *patient) { p.edit(fstabFile, "UUID="+rootID, "UUID="+strings.ToUpper(rootID)) }, `/etc/fstab:3: names UUID=.*: partition 2 is UUID=` + rootID + `\)`, false},
		{"fstab: capitals of a partition", func(p *patient) {
			p.edit(fstabFile, "UUID="+rootID, "PARTUUID="+strings.ToUpper(root.Partition.UUID))
		}, `/etc/fstab:3: names PARTUUID=.*: partition 2 is PARTUUID=` + root.Partition.UUID + `\)`, false},
		{"fstab: tag in small letters", func(p *patient) { p.edit(fstabFile, "UUID="+rootID, "uuid="+rootID) }, `/etc/fstab:3: names uuid=.*`, false},
		{"fstab: quotes", func(p *patient) { p.edit(fstabFile, "UUID="+rootID, `"UUID=`+rootID+`"`) }, `/etc/fstab:3: names "UUID=.*`, false},
		{"fstab: blank", func(p *patient) { p.edit(fstabFile, "UUID="+rootID, `UUID=`+rootID+`\040`) }, `/etc/fstab:3: names UUID=.*`, false},
		{"fstab: capitals in a link", func(p *patient) {
			p.edit(fstabFile, "UUID="+rootID, "/dev/disk/by-uuid/"+strings.ToUpper(rootID))
		}, `/etc/fstab:3: names /dev/disk/by-uuid/.*: partition 2 is /dev/disk/by-uuid/` + rootID + `\)`, false},
		{"fstab: another disk", func(p *patient) { p.insert(fstabFile, "/dev/sdb1 /data auto defaults 0 2") }, `/etc/fstab:4: mounts /data: /dev/sdb1 is another disk than .*`, true},
		{"fstab: another disk as /var", func(p *patient) { p.insert(fstabFile, "/dev/nvme1n1p1 /var auto defaults 0 2") }, `/etc/fstab:4: mounts /var: /dev/nvme1n1p1 is another disk than .*`, false},
		{"fstab: twice", func(p *patient) { p.insert(fstabFile, "tmpfs /boot/efi tmpfs defaults 0 0") }, `/etc/fstab:4: /boot/efi is mounted by line 2 already`, true},

		{"grub.cfg: search", func(p *patient) { p.edit(grubCfg, "--set=root "+rootID, "--set=root "+wrong) }, `/boot/grub/grub.cfg:\d+: names UUID=` + wrong + `, but .*`, false},
		{"grub.cfg: root=", func(p *patient) { p.edit(grubCfg, "root=UUID="+rootID, "root=UUID="+wrong) }, `/boot/grub/grub.cfg:\d+: root=UUID=` + wrong + `: names UUID=.*`, false},
		{"grub.cfg: root= in capitals", func(p *patient) {
			p.edit(grubCfg, "root=UUID="+rootID, "root=UUID="+strings.ToUpper(rootID))
		}, `/boot/grub/grub.cfg:\d+: root=UUID=.*: names UUID=.*: partition 2 is UUID=.*`, false},
		{"grub.cfg: root= in capitals, by partition", func(p *patient) {
			p.edit(grubCfg, "root=UUID="+rootID, "root=PARTUUID="+strings.ToUpper(root.Partition.UUID))
		}, `/boot/grub/grub.cfg:\d+: root=PARTUUID=.*: names PARTUUID=.*`, false},
		{"grub.cfg: root= of another partition", func(p *patient) { p.edit(grubCfg, "root=UUID="+rootID, "root=PARTUUID="+esp.Partition.UUID) }, `.*grub.cfg:\d+: root=PARTUUID=.* is partition 1, but the root of the system is partition 2`, false},
		{"grub.cfg: root= without initramfs", func(p *patient) { p.edit(grubCfg, "\tinitrd\t"+initrd, "") }, `.*grub.cfg:\d+: root=UUID=.* needs an initramfs, .*`, false},
		{"grub.cfg: resume=", func(p *patient) { p.edit(grubCfg, " quiet", " quiet resume=UUID="+wrong) }, `.*grub.cfg:\d+: resume=UUID=.*: names .*`, false},
		{"grub.cfg: kernel", func(p *patient) { p.edit(grubCfg, "linux\t"+kernel, "linux\t/boot/vmlinuz-5.0") }, `.*grub.cfg:\d+: the kernel: names /boot/vmlinuz-5.0, which is not on partition 2`, false},
		{"grub.cfg: kernel as on a boot partition", func(p *patient) { p.edit(grubCfg, "linux\t/boot/", "linux\t/") }, `.*grub.cfg:\d+: the kernel: names /vmlinuz-\S+, which is not on partition 2`, false},
		{"grub.cfg: initramfs", func(p *patient) { p.edit(grubCfg, "initrd\t"+initrd, "initrd\t/boot/initrd.img-5.0") }, `.*grub.cfg:\d+: the initramfs: names /boot/initrd.img-5.0, which .*`, false},
		{"grub.cfg: recovery entry", func(p *patient) { p.edit(grubCfg, rootID+" ro single", wrong+" ro single") }, `.*grub.cfg:\d+: root=UUID=` + wrong + `: .*`, false},
		{"grub.cfg: loop device", func(p *patient) { p.edit(grubCfg, "root=UUID="+rootID, "root=/dev/loop0p2") }, `.*grub.cfg:\d+: names /dev/loop0p2, a device of the machine .*`, false},
		{"grub.cfg: host path", func(p *patient) { p.edit(grubCfg, "linux\t/boot/", "linux\t/.mic/root/boot/") }, `.*grub.cfg:\d+: names /.mic/root/boot/\S+, a path of the machine .*`, false},
		{"grub.cfg: device name", func(p *patient) { p.edit(grubCfg, "root=UUID="+rootID, "root=/dev/vda2") }, `.*grub.cfg:\d+: root=/dev/vda2 is a name that differs .*`, true},
		{"grub.cfg: syntax", func(p *patient) { p.edit(grubCfg, "submenu 'Adv", "submenu Adv") }, `the boot configuration cannot be read: /boot/grub/grub.cfg: .*`, false},
		{"grub.cfg: empty", func(p *patient) { p.write(grubCfg, "# It is automatically generated by grub-mkconfig\n") }, `/boot/grub/grub.cfg: the image has no boot entry .*`, false},
		{"default/grub: loop device", func(p *patient) { p.edit("/etc/default/grub", `"quiet"`, `"quiet root=/dev/loop0p2"`) }, `/etc/default/grub:\d+: names /dev/loop0p2, .*`, false},

		{"stub: UUID", func(p *patient) { p.edit(stubCfg, rootID, wrong) }, stubCfg + `:1: names UUID=` + wrong + `, but .*`, false},
		{"stub: prefix", func(p *patient) { p.edit(stubCfg, "/boot/grub'", "/grub'") }, stubCfg + `:3: its configuration: names /grub/grub.cfg, which is not on partition 2`, false},
		{"stub: gone", gone(stubCfg), `/boot/efi/EFI/BOOT/grubx64.efi: this GRUB looks for grub.cfg in /EFI/debian of its partition, where there is none`, false},
		{"EFI: no loader", gone("/boot/efi/EFI/BOOT/bootx64.efi"), `/boot/efi/EFI/BOOT/BOOTX64.EFI: there is no such file: .*`, false},
		{"EFI: no GRUB", gone("/boot/efi/EFI/BOOT/grubx64.efi"), `/boot/efi/EFI/BOOT/grubx64.efi: there is no such file: .*`, false},
		{"EFI: no program", func(p *patient) { p.write("/boot/efi/EFI/BOOT/bootx64.efi", "MZ?") }, `/boot/efi/EFI/BOOT/bootx64.efi: it is no EFI program`, false},
		{"EFI: another machine", func(p *patient) { p.breakMachine("/boot/efi/EFI/BOOT/bootx64.efi") }, `/boot/efi/EFI/BOOT/bootx64.efi: is a program for another machine .*`, false},
		{"EFI: no FAT", func(p *patient) { p.poke(esp.Start+54, make([]byte, 64)...) }, `partition 1 is the EFI system partition, but holds .*`, false},

		{"kernel: no initramfs", gone(initrd), `.*grub.cfg:\d+: the initramfs: names ` + initrd + `, which is not on partition 2`, false},
		{"kernel: empty initramfs", func(p *patient) { p.write(initrd, "") }, initrd + `: is no initramfs: it begins with ""`, false},
		{"kernel: gone", gone(kernel), `.*grub.cfg:\d+: the kernel: names ` + kernel + `, which .*`, false},
		{"kernel: short", func(p *patient) { p.write(kernel, "MZ") }, kernel + `: the kernel is only 2 bytes long`, false},
		{"kernel: no modules", gone("/usr/lib/modules/" + version), kernel + `: the modules of this kernel are missing: .*`, false},
		{"kernel: no modules.dep", gone("/usr/lib/modules/" + version + "/modules.dep"), `/lib/modules/` + version + `: there is no modules.dep: .*`, false},
		{"kernel: no entry", func(p *patient) {
			p.write("/boot/vmlinuz-7.0", strings.Repeat("MZ", 4096))
		}, `/boot/vmlinuz-7.0: no boot entry loads this kernel`, false},

		{"GPT: backup", func(p *patient) { p.poke(p.Size-512, 'X') }, `partition table: the backup GPT is damaged or missing: .*`, false},
		{"GPT: primary", func(p *patient) { p.poke(512, 'X') }, `partition table: the primary GPT is damaged .*`, false},
		{"GPT: not at the end", func(p *patient) {
			p.Size += 1 << 20
			p.undo = append(p.undo, func() { p.Size -= 1 << 20 })
		}, `partition table: the backup GPT lies at sector \d+, but the disk ends with sector \d+`, false},
		{"ext4: too new for everybody", func(p *patient) { p.poke(root.Start+1024+96+3, 0x40) }, `the ext4 filesystem of / \(partition 2\) has the feature with the number 0x40000000, which the kernel .* cannot use`, false},
		{"ext4: not for GRUB", func(p *patient) { p.setBits(root.Start+1024+97, 0x80) }, `the ext4 filesystem of / \(partition 2\), which GRUB reads \S+ from, has the feature inline_data; the image's GRUB 2\.06 cannot read it`, false},
		{"ext4: not for an old kernel", func(p *patient) {
			p.write("/boot/vmlinuz-3.2", strings.Repeat("MZ", 4096))
		}, `the ext4 filesystem of / \(partition 2\) has the feature metadata_csum, which the kernel 3.2 cannot use`, false},

		{"ext4: not for the image's e2fsck", func(p *patient) {
			p.setBits(root.Start+1024+93, 0x10)
			p.write("/usr/lib/x86_64-linux-gnu/libe2p.so.2", "fast_commit")
		}, `the ext4 filesystem of / \(partition 2\) has the feature orphan_file, which the image's own e2fsck does not know: .*`, false},
		{"kernel: no driver", func(p *patient) { p.edit(p.modules(version)+"/modules.builtin", "/ext4.ko", "/ext5.ko") }, `the kernel ` + version + ` has no driver for ext4, which / is \(partition 2\)`, false},

		{"left: /_imageconfigs", func(p *patient) { p.write("/_imageconfigs", "") }, `/_imageconfigs: is left over from customizing`, false},
		{"left: dracut", func(p *patient) { p.write("/etc/dracut.conf.d/zz-imagecustomizer.conf", "") }, `/etc/dracut.conf.d/zz-imagecustomizer.conf: is left over from customizing`, false},
		{"left: policy-rc.d", func(p *patient) { p.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n") }, `/usr/sbin/policy-rc.d: keeps packages from starting .*`, false},
		{"left: resolv.conf", func(p *patient) { p.hide("/etc/resolv.conf"); p.write("/etc/resolv.conf", p.HostDNS) }, `/etc/resolv.conf: is that of the machine .*`, true},
		{"init: gone", gone("/usr/sbin/init"), `/sbin/init: is not there.*`, true}, // dracut's systemd starts it all the same
		{"init: systemd gone", gone("/usr/lib/systemd/systemd"), `/sbin/init: leads to \S*/systemd/systemd, which .*`, false},
		{"init: no loader", gone("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"), `/sbin/init: needs the loader /lib64/ld-linux-x86-64.so.2, which .*`, false},
		{"init: no libc", gone("/usr/lib/x86_64-linux-gnu/libc.so.6"), `/sbin/init: needs the library libc.so.6, which .*`, false},
		{"init: no libselinux", gone("/usr/lib/x86_64-linux-gnu/libselinux.so.1"), `/sbin/init: needs the library libselinux.so.1, which .*`, false},
		{"init: its own library", func(p *patient) { p.hide(p.glob("/usr/lib/x86_64-linux-gnu/systemd", "libsystemd-core-")) }, `/sbin/init: needs the library libsystemd-core-252.so, which .*`, false},
		{"init: udev", gone("/usr/lib/systemd/systemd-udevd"), `/usr/lib/systemd/systemd-udevd: there is no udev: .*`, false},
		{"init: mount", gone("/usr/bin/mount"), `/usr/bin/mount: there is no program mount: .*`, false},
		{"init: kmod", gone("/usr/bin/kmod"), `/sbin/modprobe: leads to \S*/kmod, which the image does not have, and there is no other program modprobe: .*`, false},
		{"init: /dev", gone("/dev"), `/dev: there is no directory for devices: .*`, false},
		{"init: dracut", gone("/usr/bin/dracut"), `/usr/sbin/update-initramfs: there is no program that makes an initramfs: .*`, true},
		{"systemd: a target", gone("/usr/lib/systemd/system/sysinit.target"), `/usr/lib/systemd/system/basic.target:\d+: needs sysinit.target, which .*`, false},
		{"systemd: default.target", func(p *patient) {
			p.symlink("/usr/lib/systemd/system/gone.target", "/etc/systemd/system/default.target")
		}, `/etc/systemd/system/default.target: leads to .*gone.target, which .*`, false},
		{"systemd: enabled unit", func(p *patient) {
			p.symlink("/usr/lib/systemd/system/gone.service", "/etc/systemd/system/multi-user.target.wants/gone.service")
		}, `/etc/systemd/system/multi-user.target.wants/gone.service: this unit is enabled, .*`, true},
	})
}

// insert puts a line at the end of a file.
func (p *patient) insert(name, line string) {
	p.t.Helper()
	text, err := p.Root.ReadFile(name)
	p.must(err)
	p.write(name, string(text)+line+"\n")
}

func (p *patient) symlink(target, name string) {
	p.t.Helper()
	p.must(p.Root.Symlink(target, name))
	p.undo = append(p.undo, func() { p.must(p.Root.Remove(name)) })
}

// glob is the only file of a folder whose name begins so.
func (p *patient) glob(dir, prefix string) string {
	p.t.Helper()
	entries, err := p.Root.ReadDir(dir)
	p.must(err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && e.Type()&fs.ModeSymlink == 0 {
			return dir + "/" + e.Name()
		}
	}
	p.t.Fatalf("no %s* in %s", prefix, dir)
	return ""
}

// TestUnmountedESP: the EFI system partition is looked into although fstab does not name it.
func TestUnmountedESP(t *testing.T) {
	file := copyOf(t, "debian12-efi")
	first := openDisk(t, file)
	text, err := first.Root.ReadFile(fstabFile)
	if err != nil {
		t.Fatal(err)
	}
	kept := regexp.MustCompile(`(?m)^.* /boot/efi .*\n`).ReplaceAllString(string(text), "tmpfs /boot/efi tmpfs defaults 0 0\n")
	if err := errors.Join(first.Root.WriteFile(fstabFile, []byte(kept), 0o644), first.Root.WriteFile("/boot/efi/EFI/BOOT/grubx64.efi", []byte("MZ"), 0o644), first.Close()); err != nil {
		t.Fatal(err)
	}
	d := openDisk(t, file)
	if len(d.Mounts) != 1 {
		t.Fatalf("mounted: %+v", d.Mounts)
	}
	err = d.LookAtESP(t.Context(), func(mounts []image.Mounted) {
		i := imageOf(d, file)
		i.Mounts = mounts
		expect(t, Run(t.Context(), i), mutation{want: `/boot/efi/EFI/BOOT/grubx64.efi: it is no EFI program`})
	})
	if err != nil {
		t.Error(err)
	}
	if entries, err := d.Root.ReadDir("/boot/efi"); err != nil || len(entries) > 0 {
		t.Errorf("left in /boot/efi: %v, %v", entries, err)
	}
}

// modules is the folder of a kernel's modules.
func (p *patient) modules(version string) string { return "/usr/lib/modules/" + version }

// breakMachine says in a program's header that it is for another machine.
func (p *patient) breakMachine(name string) {
	data, err := p.Root.ReadFile(name)
	p.must(err)
	at := strings.Index(string(data), "PE\x00\x00") + 4
	changed := append([]byte(nil), data...)
	copy(changed[at:], "\x64\xaa")
	p.write(name, string(changed))
}
