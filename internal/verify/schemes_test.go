package verify

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/verity"
)

const marinerCfg = `set timeout=0
set bootprefix=/boot
search -n -u ` + rootUUID + ` -s

load_env -f $bootprefix/mariner.cfg
if [ -f $bootprefix/systemd.cfg ]; then
	load_env -f $bootprefix/systemd.cfg
else
	set systemd_cmdline=net.ifnames=0
fi
if [ -f $bootprefix/grub2/grubenv ]; then
	load_env -f $bootprefix/grub2/grubenv
fi

set rootdevice=PARTUUID=` + rootPart + `

menuentry "CBL-Mariner" {
	linux $bootprefix/$mariner_linux     rd.auto=1 root=$rootdevice $mariner_cmdline lockdown=integrity $systemd_cmdline   $kernelopts
	if [ -f $bootprefix/$mariner_initrd ]; then
		initrd $bootprefix/$mariner_initrd
	fi
}
`

// envBlock is a file for load_env.
func envBlock(lines string) string { return "# GRUB Environment Block\n" + lines }

// TestBrokenMariner: a menu written by hand, whose variables come from files.
func TestBrokenMariner(t *testing.T) {
	t.Parallel()
	const stub, cfg = "/boot/efi/boot/grub2/grub.cfg", "/boot/grub2/grub.cfg"
	p := newPatient(t, fixture(t, "gpt", []part{espPart, extRoot}, merge(kernelFiles("5.15", "initrd.img-5.15"), efiFiles("/boot/grub2"), map[string]string{
		fstabFile:              "PARTUUID=" + rootPart + " / ext4 defaults 0 1\nUUID=" + espID + " /boot/efi vfat umask=0077 0 2\n",
		cfg:                    marinerCfg,
		stub:                   "search -n -u " + rootUUID + " -s\nset bootprefix=/boot\nset prefix=$bootprefix/grub2\nconfigfile $bootprefix/grub2/grub.cfg\n",
		"/boot/linux-5.15.cfg": envBlock("mariner_linux=vmlinuz-5.15\nmariner_initrd=initrd.img-5.15\nmariner_cmdline=init=/lib/systemd/systemd ro\n"),
		"/boot/mariner.cfg":    "->linux-5.15.cfg",
		"/boot/grub2/grubenv":  envBlock("kernelopts=\n"),
	})))
	p.check(t, []mutation{
		{"rootdevice", func(p *patient) { p.edit(cfg, rootPart, wrongUUID) }, cfg + `:18: root=PARTUUID=` + wrongUUID + `: names .*`, false},
		{"search", func(p *patient) { p.edit(cfg, rootUUID, wrongUUID) }, cfg + `:3: names UUID=` + wrongUUID + `, but .*`, false},
		{"variables gone", func(p *patient) { p.hide("/boot/mariner.cfg") }, cfg + `:18: the kernel: names /boot, which is no file there: the variable mariner_linux is not set`, false},
		{"stale kernel name", func(p *patient) { p.edit("/boot/linux-5.15.cfg", "vmlinuz-5.15", "vmlinuz-5.10") }, cfg + `:18: the kernel: names /boot/vmlinuz-5.10, which is not on partition 2`, false},
		{"stale initramfs name", func(p *patient) { p.edit("/boot/linux-5.15.cfg", "initrd.img-5.15", "initrd.img-5.10") }, cfg + `:20: the initramfs: names /boot/initrd.img-5.10, which .*`, false},
		{"bootprefix", func(p *patient) { p.edit(cfg, "bootprefix=/boot", "bootprefix=") }, cfg + `:18: the kernel: names /vmlinuz-5.15, which is not on partition 2`, false},
		{"stub", func(p *patient) { p.edit(stub, rootUUID, bootUUID) }, stub + `:1: names UUID=` + bootUUID + `, but .*`, false},
		{"stub leads elsewhere", func(p *patient) { p.edit(stub, "configfile $bootprefix", "configfile /") }, stub + `:4: its configuration: names /grub2/grub.cfg, which is not on partition 2`, false},
		{"second kernel", func(p *patient) { p.write("/boot/vmlinuz-6.6", someKernel) }, `/boot/vmlinuz-6.6: no boot entry loads this kernel`, true},
		{"environment names a loop device", func(p *patient) { p.edit("/boot/grub2/grubenv", "kernelopts=", "kernelopts=x=/dev/loop7") }, `/boot/grub2/grubenv:2: names /dev/loop7, .*`, false},
	})
}

const wrongUUID = "99999999-9999-4999-8999-999999999999"

const blsCfg = `search --no-floppy --fs-uuid --set=root ` + bootUUID + `
if [ -f ${config_directory}/grubenv ]; then
  load_env -f ${config_directory}/grubenv
elif [ -s $prefix/grubenv ]; then
  load_env
fi
if [ -z "${kernelopts}" ]; then
  set kernelopts="root=UUID=` + rootUUID + ` ro "
fi
insmod blscfg
blscfg
`

// TestBrokenEntries: boot loader entries, /boot a partition of its own.
func TestBrokenEntries(t *testing.T) {
	t.Parallel()
	const stub, cfg, entry = "/boot/efi/EFI/fedora/grub.cfg", "/boot/grub2/grub.cfg", "/boot/loader/entries/id-6.12.conf"
	p := newPatient(t, fixture(t, "gpt", []part{espPart, bootPart, extRoot}, merge(kernelFiles("6.12", "initramfs-6.12.img"), efiFiles("/EFI/fedora"), map[string]string{
		fstabFile:                          "LABEL=root / ext4 defaults 0 1\nUUID=" + bootUUID + " /boot ext4 defaults 0 2\nPARTUUID=@ESP@ /boot/efi vfat umask=0077 0 2\n",
		cfg:                                blsCfg,
		stub:                               "search --no-floppy --fs-uuid --set=dev " + bootUUID + "\nset prefix=($dev)/grub2\nexport $prefix\nconfigfile $prefix/grub.cfg\n",
		entry:                              "title Fedora\nversion 6.12\nlinux /vmlinuz-6.12\ninitrd /initramfs-6.12.img $tuned_initrd\noptions $kernelopts quiet\n",
		"/boot/loader/entries/rescue.conf": "title Rescue\nlinux /vmlinuz-0-rescue-1\ninitrd /initramfs-0-rescue-1.img\noptions root=UUID=" + rootUUID + "\n",
		"/boot/vmlinuz-0-rescue-1":         someKernel, "/boot/initramfs-0-rescue-1.img": someInitramfs,
		"/usr/lib/systemd/system/sshd.service": "", "/etc/systemd/system/multi-user.target.wants/sshd.service": "->/usr/lib/systemd/system/sshd.service",
		"/etc/kernel/cmdline": "root=UUID=" + rootUUID + "\n",
	})))
	p.Mounts[0], p.Mounts[2] = p.Mounts[2], p.Mounts[0] // the root is first
	p.must(p.Root.WriteFile(fstabFile, []byte(strings.Replace(p.text(fstabFile), "@ESP@", p.Mounts[2].Volume.Partition.UUID, 1)), 0o644))
	p.check(t, []mutation{
		{"kernel gone", func(p *patient) { p.edit(entry, "vmlinuz-6.12", "vmlinuz-6.11") }, entry + `:3: the kernel: names /vmlinuz-6.11, which is not on partition 2`, false},
		{"kernel as on the root", func(p *patient) { p.edit(entry, "linux /", "linux /boot/") }, entry + `:3: the kernel: names /boot/vmlinuz-6.12, which is not on partition 2`, false},
		{"initramfs gone", func(p *patient) { p.edit(entry, "initramfs-6.12", "initramfs-6.11") }, entry + `:4: the initramfs: names /initramfs-6.11.img, which .*`, false},
		{"rescue entry", func(p *patient) { p.hide("/boot/vmlinuz-0-rescue-1") }, `/boot/loader/entries/rescue.conf:2: the kernel: names /vmlinuz-0-rescue-1, which .*`, false},
		{"root= in a variable", func(p *patient) { p.edit(cfg, rootUUID, wrongUUID) }, entry + `:5: root=UUID=` + wrongUUID + `: names .*`, false},
		{"root= in the entry", func(p *patient) { p.edit(entry, "$kernelopts", "root=LABEL=other") }, entry + `:5: root=LABEL=other: names LABEL=other, but .*`, false},
		{"search", func(p *patient) { p.edit(cfg, bootUUID, wrongUUID) }, cfg + `:1: names UUID=` + wrongUUID + `, but .*`, false},
		{"stub into a variable", func(p *patient) { p.edit(stub, bootUUID, rootUUID) }, stub + `:4: its configuration: names /grub2/grub.cfg, which is not on partition 3`, false},
		{"no entries", func(p *patient) { p.hide(entry); p.hide("/boot/loader/entries/rescue.conf") }, cfg + `: the image has no boot entry .*`, false},
		{"no root=", func(p *patient) { p.edit(entry, "$kernelopts", "") }, entry + `:5: no root= tells the kernel where the root is`, true},
		{"entry names a loop device", func(p *patient) { p.edit(entry, "quiet", "x=/dev/loop0") }, entry + `:5: names /dev/loop0, .*`, false},
		{"kernel of no entry", func(p *patient) { p.write("/boot/vmlinuz-6.13", someKernel) }, `/boot/vmlinuz-6.13: no boot entry loads this kernel`, false},
		{"verity arguments", func(p *patient) {
			p.edit(entry, "quiet", "systemd.verity_root_data=PARTUUID="+wrongUUID)
		}, entry + `:5: systemd.verity_root_data=PARTUUID=` + wrongUUID + `: names .*`, false},
		{"root=/dev/mapper/root", func(p *patient) { p.edit(entry, "$kernelopts", "root=/dev/mapper/root") }, entry + `:5: root=/dev/mapper/root needs the argument roothash=, .*`, false},
		{"kernel command line of later kernels", func(p *patient) { p.edit("/etc/kernel/cmdline", rootUUID, wrongUUID) }, `/etc/kernel/cmdline:1: root=UUID=` + wrongUUID + `: names .*`, false},
		{"fstab names two", func(p *patient) {
			p.poke(p.Mounts[1].Volume.Start+1024+104, []byte("\x11\x11\x11\x11\x11\x11\x41\x11\x81\x11\x11\x11\x11\x11\x11\x11")...)
		}, `partition table: partitions 2 and 3 have the same UUID, ` + rootUUID, false},
	})
}

// TestBrokenSystemdBoot: entries on the EFI system partition, no GRUB.
func TestBrokenSystemdBoot(t *testing.T) {
	t.Parallel()
	esp := espPart
	esp.mount = "/boot"
	const entry, conf = "/boot/loader/entries/a.conf", "/boot/loader/loader.conf"
	files := kernelFiles("6.1", "initrd.img-6.1")
	p := newPatient(t, fixture(t, "gpt", []part{extRoot, esp}, merge(files, map[string]string{
		fstabFile:                    "UUID=" + rootUUID + " / ext4 defaults 0 1\nUUID=" + espID + " /boot vfat umask=0077 0 2\n",
		"/boot/EFI/BOOT/BOOTX64.EFI": program(map[string][]byte{".text": []byte("x")}),
		conf:                         "timeout 0\ndefault a.conf\n",
		entry:                        "title Debian\nlinux /VMLINUZ-6.1\ninitrd /initrd.img-6.1\noptions root=UUID=" + rootUUID + " ro\n",
	})))
	p.check(t, []mutation{
		{"kernel", func(p *patient) { p.edit(entry, "VMLINUZ-6.1", "vmlinuz-6.0") }, entry + `:2: the kernel: names /vmlinuz-6.0, which is not on partition 2`, false},
		{"root=", func(p *patient) { p.edit(entry, rootUUID, wrongUUID) }, entry + `:4: root=UUID=` + wrongUUID + `: names .*`, false},
		{"loader", func(p *patient) { p.hide("/boot/EFI/BOOT/BOOTX64.EFI") }, `/boot/EFI/BOOT/BOOTX64.EFI: there is no such file: .*`, false},
		{"default without its ending", func(p *patient) { p.edit(conf, "a.conf", "a") }, conf + `:2: the default is a, which no entry is: .*`, true},
		{"default that was renamed", func(p *patient) { p.edit(conf, "a.conf", "fedora-*") }, conf + `:2: the default is fedora-\*, which no entry is: .*`, true},
		{"no try left", func(p *patient) {
			text := p.text(entry)
			p.hide(entry)
			p.write("/boot/loader/entries/a+0-3.conf", text)
		}, `/boot/loader/entries/a\+0-3.conf: no try to boot this entry is left: .*`, true},
		{"counted twice", func(p *patient) { p.write("/boot/loader/entries/a+3.conf", p.text(entry)) }, `/boot/loader/entries/a.conf: is the same entry as /boot/loader/entries/a\+3.conf, .*`, true},
		{"random seed", func(p *patient) { p.write("/boot/loader/random-seed", "x") }, `/boot/loader/random-seed: every system made of this image .*`, true},
		{"full", func(p *patient) { p.fill(p.Mounts[1].Volume.Start) }, `/boot: the filesystem that systemd-boot reads \(partition 2\) has 0 MiB free of 15; one more kernel takes 1`, true},
		{"two dangling initramfs lines", func(p *patient) { p.edit(entry, "initrd ", "initrd /ucode.img\ninitrd ") }, entry + `:3: the initramfs: names /ucode.img, which .*`, false},
	})
}

// fill marks all clusters of a FAT filesystem as used.
func (p *patient) fill(at int64) {
	b := make([]byte, 64)
	_, err := p.Disk.ReadAt(b, at)
	p.must(err)
	table := at + int64(binary.LittleEndian.Uint16(b[14:]))*sectorSize
	p.poke(table+4, bytes.Repeat([]byte{0xff}, int(binary.LittleEndian.Uint16(b[22:]))*sectorSize-4)...)
}

const plainCfg = `# It is automatically generated by grub-mkconfig
menuentry 'Linux' {
	set root='hd0,gpt2'
	search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 ` + rootUUID + `
	linux /boot/vmlinuz-6.1 root=UUID=` + rootUUID + ` ro
	initrd /boot/initrd.img-6.1
}
`

// bootSector is GRUB's, with its core image at a sector.
func bootSector(at uint64) []byte {
	b := make([]byte, 440)
	b[0] = 0xeb
	copy(b[0x180:], "GRUB \x00Geom\x00")
	binary.LittleEndian.PutUint64(b[coreSectorAt:], at)
	return b
}

// coreImage is the first sector of a core image that goes on at a sector.
func coreImage(at uint64, count uint16) []byte {
	b := make([]byte, sectorSize)
	b[0] = 'R'
	binary.LittleEndian.PutUint64(b[firstListAt:], at)
	binary.LittleEndian.PutUint16(b[firstListAt+8:], count)
	return b
}

// TestBrokenBIOS: GRUB's boot sector, with its core image in a partition and in the gap before the first.
func TestBrokenBIOS(t *testing.T) {
	t.Parallel()
	files := merge(kernelFiles("6.1", "initrd.img-6.1"), map[string]string{fstabFile: "UUID=" + rootUUID + " / ext4 defaults 0 1\n", grubCfgPath: plainCfg})
	t.Run("gpt", func(t *testing.T) {
		p := newPatient(t, fixture(t, "gpt", []part{biosPart, extRoot}, files))
		p.poke(0, bootSector(2048)...)
		p.poke(2048*sectorSize, coreImage(2049, 60)...)
		p.check(t, []mutation{
			{"no boot sector", func(p *patient) { p.poke(0x180, []byte("XXXX")...) }, `boot sector: the disk has neither GRUB's boot sector nor .*`, false},
			{"core image elsewhere", func(p *patient) { p.poke(coreSectorAt, 1, 0) }, `boot sector: starts GRUB's core image at sector 1, which is outside of the place for it \(sectors 2048 to 4095\)`, false},
			{"no core image", func(p *patient) { p.poke(2048*sectorSize, make([]byte, sectorSize)...) }, `boot sector: starts GRUB's core image at sector 2048, which is empty`, false},
			{"core image in the next partition", func(p *patient) { p.poke(2048*sectorSize+firstListAt, 0, 16) }, `boot sector: GRUB's core image goes on at sector 4096, which is outside .*`, false},
			{"hd0,gpt9", func(p *patient) {
				p.edit(grubCfgPath, "\tsearch --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 "+rootUUID+"\n", "")
				p.edit(grubCfgPath, "gpt2", "gpt9")
			}, grubCfgPath + `:4: the kernel: names the partition \(hd0,gpt9\), which the image does not have`, false},
		})
	})
	t.Run("mbr", func(t *testing.T) {
		root := part{"start=2048, size=65536, type=83", extRoot.mkfs, "/"}
		p := newPatient(t, fixture(t, "dos", []part{root}, files))
		p.poke(0, bootSector(1)...)
		p.poke(sectorSize, coreImage(2, 60)...)
		p.check(t, []mutation{
			{"core image in the root", func(p *patient) { p.poke(coreSectorAt, 0, 8) }, `boot sector: starts GRUB's core image at sector 2048, which is outside of the place for it \(sectors 1 to 2047\)`, false},
			{"too large for the gap", func(p *patient) { p.poke(sectorSize+firstListAt+8, 0, 8) }, `boot sector: GRUB's core image goes on at sector 2, which .*`, false},
		})
	})
}

const grubCfgPath = "/boot/grub/grub.cfg"

// TestBrokenXFS: files with holes, and features, on the filesystem that GRUB reads.
func TestBrokenXFS(t *testing.T) {
	t.Parallel()
	root := part{"size=320MiB, type=linux", "mkfs.xfs -q -i nrext64=0 -m uuid=" + rootUUID, "/"}
	files := merge(kernelFiles("6.1", "initrd.img-6.1"), efiFiles("/EFI/debian"), map[string]string{
		fstabFile:   "UUID=" + rootUUID + " / xfs defaults 0 0\nUUID=" + espID + " /boot/efi vfat defaults 0 2\n",
		grubCfgPath: plainCfg, "/boot/efi/EFI/debian/grub.cfg": "search.fs_uuid " + rootUUID + " root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n",
	})
	p := newPatient(t, fixture(t, "gpt", []part{espPart, root}, files))
	p.Mounts[0], p.Mounts[1] = p.Mounts[1], p.Mounts[0]
	at := p.Mounts[0].Volume.Start
	p.check(t, []mutation{
		{"kernel with a hole", func(p *patient) { p.punch("/boot/vmlinuz-6.1") }, `/boot/vmlinuz-6.1: the file has a hole, which GRUB cannot read on an xfs`, false},
		{"initramfs with a hole", func(p *patient) { p.punch("/boot/initrd.img-6.1") }, `/boot/initrd.img-6.1: the file has a hole, .*`, false},
		{"nrext64", func(p *patient) { p.setBits(at+219, 0x20) }, `the xfs filesystem of / \(partition 2\), which GRUB reads \S+ from, has the feature nrext64; the image's GRUB 2.06 cannot read it`, false},
		{"exchange", func(p *patient) { p.setBits(at+219, 0x40) }, `the xfs filesystem of / .* has the feature exchange, which the kernel 6.1 cannot use`, false},
		{"stub's prefix", func(p *patient) { p.edit("/boot/efi/EFI/debian/grub.cfg", "/boot/grub'", "/@/boot/grub'") }, `/boot/efi/EFI/debian/grub.cfg:3: its configuration: names /@/boot/grub/grub.cfg, which .*`, false},
	})
}

// TestBrokenSubvolume: GRUB names files of a btrfs from its top.
func TestBrokenSubvolume(t *testing.T) {
	t.Parallel()
	root := part{"size=200MiB, type=linux", "mkfs.btrfs -q -U " + rootUUID, "/"}
	cfg := strings.NewReplacer("/boot/", "/@/boot/", " ro\n", " ro rootflags=subvol=@\n").Replace(plainCfg)
	p := newPatient(t, fixture(t, "gpt", []part{biosPart, root}, merge(kernelFiles("6.1", "initrd.img-6.1"), map[string]string{
		fstabFile: "UUID=" + rootUUID + " / btrfs subvol=@ 0 0\n", grubCfgPath: cfg,
	})))
	p.poke(0, bootSector(2048)...)
	p.poke(2048*sectorSize, coreImage(2049, 60)...)
	p.Mounts[0].Subvolume = "/@"
	p.check(t, []mutation{
		{"path without the subvolume", func(p *patient) { p.edit(grubCfgPath, "linux /@/", "linux /") }, grubCfgPath + `:5: the kernel: names /boot/vmlinuz-6.1, which is not on partition 2`, false},
		{"fstab names another", func(p *patient) { p.edit(fstabFile, "subvol=@", "subvol=@root") }, `/etc/fstab:1: names the subvolume @root, but the files of / lie in /@`, false},
		{"rootflags names another", func(p *patient) { p.edit(grubCfgPath, "subvol=@", "subvol=@old") }, grubCfgPath + `:5: rootflags= names the subvolume @old, but the files of / lie in /@`, false},
	})
}

// setBits sets bits of a byte of the disk.
func (p *patient) setBits(at int64, bits byte) {
	b := make([]byte, 1)
	_, err := p.Disk.ReadAt(b, at)
	p.must(err)
	p.poke(at, b[0]|bits)
}

// text is the content of a file.
func (p *patient) text(name string) string {
	data, err := p.Root.ReadFile(name)
	p.must(err)
	return string(data)
}

// punch puts a hole into a file.
func (p *patient) punch(name string) {
	p.t.Helper()
	p.write(name, p.text(name))
	f, err := p.Root.Open(name, os.O_RDWR, 0)
	p.must(err)
	defer f.Close()
	p.must(f.Truncate(1 << 20))
}

// TestBrokenVerity: a sealed root, with its tree in a partition of its own and behind the data.
func TestBrokenVerity(t *testing.T) {
	t.Parallel()
	const entry = "/boot/loader/entries/a.conf"
	hashes := part{"size=2MiB, type=linux, uuid=" + swapUUID, "", ""}
	files := merge(kernelFiles("6.1", "initrd.img-6.1"), efiFiles("/boot"), map[string]string{
		fstabFile:                 "/dev/mapper/root / ext4 ro 0 1\nUUID=" + bootUUID + " /boot ext4 defaults 0 2\nUUID=" + espID + " /boot/efi vfat defaults 0 2\n",
		"/boot/grub2/grub.cfg":    "search --fs-uuid --set=root " + bootUUID + "\nblscfg\n",
		entry:                     "",
		"/boot/efi/boot/grub.cfg": "search -n -u " + bootUUID + " -s\nconfigfile /grub2/grub.cfg\n",
	})
	for name, offset := range map[string]int64{"apart": 0, "inline": 28 * mib} {
		t.Run(name, func(t *testing.T) {
			i := fixture(t, "gpt", []part{extRoot, bootPart, espPart, hashes}, files)
			table, err := disk.ReadTable(i.Disk, i.Size)
			if err != nil {
				t.Fatal(err)
			}
			root, tree := table.Partitions[0], table.Partitions[3]
			if offset > 0 {
				tree = root
			}
			d := verity.Device{Name: "root", Data: "PARTUUID=" + root.UUID, Hash: "PARTUUID=" + tree.UUID}.WithHashOffset(offset)
			size := root.Size
			if offset > 0 {
				size = offset
			}
			sum, err := verity.Format(t.Context(), io.NewSectionReader(i.Disk, root.Start, size), io.NewOffsetWriter(i.Disk.(*os.File), tree.Start), offset, verity.Super{DataBlocks: size / verity.BlockSize})
			if err != nil {
				t.Fatal(err)
			}
			d.RootHash = hex.EncodeToString(sum)
			p := newPatient(t, i)
			p.write(entry, "linux /vmlinuz-6.1\ninitrd /initrd.img-6.1\noptions root=/dev/mapper/root ro "+strings.Join(verity.Args([]verity.Device{d}), " ")+"\n")
			if found := Trees(t.Context(), p.Image); len(found) > 0 {
				t.Errorf("the sound tree: %v", found)
			}
			other := "0f"
			if d.RootHash[:2] == other {
				other = "f0"
			}
			p.check(t, []mutation{
				{"root hash", func(p *patient) { p.edit(entry, "roothash="+d.RootHash[:2], "roothash="+other) }, entry + `:3: roothash=: partition \d: the root hash is ` + d.RootHash + `, but ` + other + `.* was expected`, false},
				{"no root hash", func(p *patient) { p.edit(entry, "roothash", "other") }, `/etc/fstab:1: mounts /dev/mapper/root, but .*a.conf:3 passes no roothash= .*`, false},
				{"data", func(p *patient) { p.edit(entry, "root_data=PARTUUID="+root.UUID, "root_data=PARTUUID="+wrongUUID) }, entry + `:3: systemd.verity_root_data=.*: names .*`, false},
				{"hash", func(p *patient) { p.edit(entry, "root_hash=PARTUUID="+tree.UUID, "root_hash=PARTUUID="+wrongUUID) }, entry + `:3: systemd.verity_root_hash=.*: names .*`, false},
				{"data of another partition", func(p *patient) { p.edit(entry, "root_data=PARTUUID="+root.UUID, "root_data=UUID="+bootUUID) }, entry + `:3: roothash=: seals partition 2, but / is partition 1`, false},
				{"superblock", func(p *patient) { p.poke(tree.Start+offset, 'X') }, entry + `:3: roothash=: partition \d: there is no verity superblock`, false},
				{"top of the tree", func(p *patient) { p.poke(tree.Start+offset+verity.BlockSize+5, 0) }, entry + `:3: roothash=: partition \d: the root hash is .*`, false},
				{"size", func(p *patient) { p.poke(tree.Start+offset+72, 0, 0, 1) }, entry + `:3: roothash=: the hash tree is for \d+ bytes of data, but partition 1 has room for \d+`, false},
			})
			p.undo = nil
			p.poke(root.Start+5*mib, 'X')
			found := Trees(t.Context(), p.Image)
			if len(found) != 1 || !strings.Contains(found[0].Text, "partition 1: block 1280 of the data does not have the hash") {
				t.Errorf("a flipped byte: %v", found)
			}
		})
	}
}

// TestBrokenUKI: kernel, initramfs and arguments in one program.
func TestBrokenUKI(t *testing.T) {
	t.Parallel()
	esp := espPart
	esp.mount = "/efi"
	const uki = "/efi/EFI/Linux/a.efi"
	sections := func(cmdline string) map[string][]byte {
		return map[string][]byte{".linux": []byte("MZ"), ".initrd": []byte(someInitramfs), ".cmdline": []byte(cmdline)}
	}
	p := newPatient(t, fixture(t, "gpt", []part{extRoot, esp}, merge(systemFiles(), map[string]string{
		fstabFile:                   "UUID=" + rootUUID + " / ext4 defaults 0 1\nUUID=" + espID + " /efi vfat defaults 0 2\n",
		"/efi/EFI/BOOT/BOOTX64.EFI": program(map[string][]byte{".text": []byte("x")}),
		uki:                         program(sections("root=UUID=" + rootUUID + " ro")),
	})))
	p.check(t, []mutation{
		{"root=", func(p *patient) { p.write(uki, program(sections("root=UUID="+wrongUUID))) }, uki + `: root=UUID=` + wrongUUID + `: names .*`, false},
		{"no program", func(p *patient) { p.write(uki, "MZ") }, uki + `: it is no EFI program`, false},
		{"no kernel", func(p *patient) { p.write(uki, program(map[string][]byte{".cmdline": []byte("ro")})) }, uki + `: is not a unified kernel image: .*`, false},
		{"no initramfs", func(p *patient) {
			p.write(uki, program(map[string][]byte{".linux": []byte("MZ"), ".cmdline": []byte("root=UUID=" + rootUUID)}))
		}, uki + `: root=UUID=.* needs an initramfs, .*`, false},
	})
}
