//go:build root

package broken

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"imagecustomizer/test/tinydisk"
)

// begins makes the image begin like another format.
func begins(magic string) func(p *place) { return func(p *place) { p.patch(0, []byte(magic)) } }

// holds makes the root partition begin like something else.
func holds(at int64, magic string) func(p *place) {
	return func(p *place) {
		p.patch(tinydisk.RootStart, make([]byte, 1<<20))
		p.patch(tinydisk.RootStart+at, []byte(magic))
	}
}

// flag adds a flag to the command line.
func flag(args ...string) func(p *place) {
	return func(p *place) { p.args = append(p.args, args...) }
}

// entry changes an 8-byte field of a partition entry in both copies of the GPT, checksums included.
func entry(number int, field int64, value uint64) func(p *place) {
	return func(p *place) {
		for _, copy := range []struct{ header, entries int64 }{{512, 1024}, {tinydisk.Size - 512, tinydisk.Size - 33*512}} {
			at := copy.entries + int64(number-1)*128 + field
			p.patch(at, binary.LittleEndian.AppendUint64(nil, value))
			p.patch(copy.header+88, binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(p.read(copy.entries, 128*128))))
			p.patch(copy.header+16, make([]byte, 4))
			p.patch(copy.header+16, binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(p.read(copy.header, 92))))
		}
	}
}

// Fields of a GPT entry.
const (
	entryType  = 0
	entryFirst = 32
	entryLast  = 40
)

// shellFor is BusyBox with the number of another machine in its ELF header.
func shellFor(p *place, machine byte) string {
	data, err := os.ReadFile("/bin/busybox")
	p.do(err)
	data = bytes.Clone(data)
	data[18] = machine
	return string(data)
}

// dirtyJournal makes a change that only the journal of the root filesystem holds.
func dirtyJournal(p *place) {
	script := `set -e; mkdir m; mount -o loop,offset=5242880,commit=600 "$0" m; echo journal > m/etc/from-the-journal; sync -f m/etc/from-the-journal
		cp "$0" copy; umount m; cp copy "$0"; dumpe2fs -h "$0?offset=5242880" 2>/dev/null | grep needs_recovery`
	cmd := exec.Command("unshare", "-m", "sh", "-c", script, p.image)
	cmd.Dir = p.dir
	if text, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%v\n%s", err, text)
	}
}

var cases = []broken{
	// Files that are no good disk image.
	{name: "empty file", change: func(p *place) { p.cut(0) }, status: 1, want: []string{"has only 0 bytes: it is no disk image"}},
	{name: "100 bytes", change: func(p *place) { p.cut(100) }, status: 1, want: []string{"has only 100 bytes"}},
	{name: "cut in a sector", change: func(p *place) { p.cut(-100) }, status: 1, want: []string{"not a whole number of 512-byte sectors"}},
	{name: "cut in half", change: func(p *place) { p.cut(tinydisk.Size / 2) }, status: 1, want: []string{"the image is truncated", "covers 33554432 bytes, but it has only 16777216"}},
	{name: "last sector missing", change: func(p *place) { p.cut(-512) }, status: 1, want: []string{"the image is truncated"}},
	{name: "gzip", change: begins("\x1f\x8b"), status: 1, want: []string{"this is a gzip file", "raw"}},
	{name: "xz", change: begins("\xfd7zXZ\x00"), status: 1, want: []string{"this is a xz file"}},
	{name: "zstd", change: begins("\x28\xb5\x2f\xfd"), status: 1, want: []string{"this is a zstd file"}},
	{name: "bzip2", change: begins("BZh9"), status: 1, want: []string{"this is a bzip2 file"}},
	{name: "zip", change: begins("PK\x03\x04"), status: 1, want: []string{"this is a zip file"}},
	{name: "vmdk", change: begins("KDMV"), status: 1, want: []string{"this is a vmdk file"}},
	{name: "luks", change: begins("LUKS\xba\xbe"), status: 1, want: []string{"this is a luks file"}},
	{name: "raw that begins like a qcow2", change: begins("QFI\xfb\x00\x00\x00\x03"), status: 1, want: []string{"qcow2"}},
	{name: "raw that begins like a qcow2 with a backing file", change: begins("QFI\xfb\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x0b"), status: 1, want: []string{"refers to a further file", "--allow-backing-file"}},
	{name: "raw that begins like a vhdx", change: begins("vhdxfile"), status: 1, want: []string{"this vhdx image cannot be read"}},
	{name: "raw that begins like a vhd", change: begins("conectix"), status: 1, want: []string{"this VHD has lost its footer"}},
	{name: "raw that ends like a vhd", change: func(p *place) { p.patch(-512, []byte("conectix")) }, status: 1, want: []string{"checksum of the VHD footer is wrong"}},

	// Partition tables.
	{name: "no partition table", change: func(p *place) { p.patch(0, make([]byte, 1<<20)) }, status: 1, want: []string{"no partition table"}},
	{name: "no protective MBR", change: func(p *place) { p.patch(446, make([]byte, 64)) }, status: 1, want: []string{"no partition table"}},
	{name: "both GPTs damaged", change: func(p *place) { p.patch(512, make([]byte, 512)); p.patch(-512, make([]byte, 512)) }, status: 1, want: []string{"the GPT of the image cannot be read, nor can its backup"}},
	{name: "primary GPT zeroed", change: func(p *place) { p.patch(512, make([]byte, 33*512)) }, status: 0, want: []string{"the primary GPT is damaged", "its backup is used"}, check: changed},
	{name: "primary GPT header damaged", change: func(p *place) { p.patch(512+24, []byte{9}) }, status: 0, want: []string{"the primary GPT is damaged (the checksum of its header is wrong)"}, check: changed},
	{name: "primary GPT entries damaged", change: func(p *place) { p.patch(1024+33, []byte{0xff}) }, status: 0, want: []string{"the primary GPT is damaged (the checksum of its entries is wrong)"}, check: changed},
	{name: "backup GPT damaged", change: func(p *place) { p.patch(-512+24, []byte{9}) }, status: 0, want: []string{"the backup GPT is damaged or missing"}, check: changed},
	{name: "backup GPT zeroed", change: func(p *place) { p.patch(-33*512, make([]byte, 33*512)) }, status: 0, want: []string{"the backup GPT is damaged or missing"}, check: changed},
	{name: "partitions overlap", change: entry(2, entryFirst, tinydisk.ESPStart/512+8), status: 1, want: []string{"partitions 1 and 2 of the image overlap"}},
	{name: "partition beyond the disk", change: entry(2, entryLast, tinydisk.Size/512+100), status: 1, want: []string{"partition 2 of the image has an impossible place"}},
	{name: "partition ends before it begins", change: entry(2, entryLast, 4096), status: 1, want: []string{"partition 2 of the image has an impossible place"}},
	{name: "GPT without partitions", change: func(p *place) {
		entry(1, entryType, 0)(p)
		entry(1, 8, 0)(p)
		entry(2, entryType, 0)(p)
		entry(2, 8, 0)(p)
	}, status: 1, want: []string{"no partitions"}},
	{name: "extended partitions in a circle", change: func(p *place) {
		p.patch(0, make([]byte, 34*512))
		record := func(at int64, entries ...byte) { p.patch(at+446, entries); p.patch(at+510, []byte{0x55, 0xaa}) }
		record(0, 0, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 0, 8, 0, 0)
		record(8*512, append(make([]byte, 16), 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0)...)
	}, status: 1, want: []string{"the chain of logical partitions of the image has no end"}},

	// Filesystems.
	{name: "journal to be replayed", change: dirtyJournal, status: 0, check: func(p *place) {
		changed(p)
		if got := tinydisk.Read(p.t, p.out, "/etc/from-the-journal"); got != "journal\n" {
			p.t.Errorf("what only the journal held is %q", got)
		}
	}},
	{name: "wrong link count", change: func(p *place) { p.debugfs("sif /etc/passwd links_count 7") }, status: 1, want: []string{"the filesystem of partition 2 has errors", "e2fsck -fn", "ref count is 7, should be 1"}},
	{name: "used blocks marked free", change: func(p *place) { p.debugfs("freeb 600 40") }, status: 1, want: []string{"the kernel found the filesystem damaged"}},
	// A new file takes the inode, which the kernel still has in use since /etc/passwd was read.
	{name: "inode in use marked free", change: func(p *place) { p.debugfs("freei /etc/passwd") }, status: 1, want: []string{"the kernel found the filesystem damaged"}},
	{name: "wrong file type", change: func(p *place) { p.debugfs("sif /etc/group mode 0060644") }, status: 1, want: []string{"partition 2"}},
	{name: "unknown feature of ext4", change: func(p *place) { p.debugfs("feature FEATURE_I30") }, status: 1, want: []string{"partition 2: mount the ext4 filesystem", "has features that this host's kernel does not know"}},
	{name: "superblock damaged", change: func(p *place) {
		p.patch(tinydisk.RootStart+1024+96, []byte{0xf7, 0xff, 0xff, 0xff})
	}, status: 1, want: []string{"partition 2: the filesystem is damaged", "Superblock checksum does not match", "e2fsck -p"}},
	{name: "group descriptors zeroed", change: func(p *place) { p.patch(tinydisk.RootStart+2048, make([]byte, 1024)) }, status: 1, want: []string{"partition 2"}},
	{name: "superblock zeroed", change: func(p *place) { p.patch(tinydisk.RootStart+1024, make([]byte, 1024)) }, status: 1, want: []string{"no filesystem of the image has an /etc/fstab", "partition 2 with nothing known"}},
	{name: "cluster of the EFI system partition in no file", change: func(p *place) {
		reserved, fat := int64(binary.LittleEndian.Uint16(p.read(tinydisk.ESPStart+14, 2))), int64(binary.LittleEndian.Uint16(p.read(tinydisk.ESPStart+22, 2)))
		for n := range int64(2) {
			p.patch(tinydisk.ESPStart+(reserved+n*fat)*512+300, []byte{0xff, 0xff, 0xff})
		}
	}, status: 0, want: []string{"a FAT filesystem of the image had errors, which were repaired"}, check: changed},
	{name: "EFI system partition zeroed", change: func(p *place) { p.patch(tinydisk.ESPStart, make([]byte, tinydisk.ESPSize)) }, status: 1, want: []string{"fstab names UUID=0A1B-2C3D, but no partition of the image is that"}},
	{name: "encrypted root", change: holds(0, "LUKS\xba\xbe\x00\x02"), status: 1, want: []string{"partition 2 with crypto_LUKS (encrypted images are not supported)"}},
	{name: "root on LVM", change: holds(512, "LABELONE\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00LVM2 001"), status: 1, want: []string{"partition 2 with LVM2_member (images with LVM are not supported)"}},
	{name: "swap for a root", change: holds(4086, "SWAPSPACE2"), status: 1, want: []string{"partition 2 with swap"}},
	{name: "squashfs for a root", change: holds(0, "hsqs"), status: 1, want: []string{"partition 2 with squashfs"}},
	{name: "two roots", change: func(p *place) {
		tree, second := filepath.Join(p.dir, "tree/etc"), filepath.Join(p.dir, "second")
		p.do(os.MkdirAll(tree, 0o755))
		p.do(os.WriteFile(tree+"/fstab", nil, 0o644))
		tinydisk.Run(p.t, "", "mkfs.ext4", "-q", "-O", "^has_journal", "-d", filepath.Dir(tree), second, "4096k")
		data, err := os.ReadFile(second)
		p.do(err)
		p.patch(tinydisk.ESPStart, data)
	}, status: 1, want: []string{"mount /boot/efi", "no partition of the image is that"}},

	// What the root holds.
	{name: "no fstab", change: func(p *place) { p.files(tinydisk.Files{"/etc/fstab": ""}) }, status: 1, want: []string{"no filesystem of the image has an /etc/fstab", "partition 1 with vfat, partition 2 with ext4"}},
	{name: "fstab names no partition", change: func(p *place) { p.files(tinydisk.Files{"/etc/fstab": "UUID=9999-9999 /boot/efi vfat defaults 0 1\n"}) }, status: 1, want: []string{"fstab names UUID=9999-9999, but no partition of the image is that"}},
	{name: "fstab with LVM", change: func(p *place) { p.files(tinydisk.Files{"/etc/fstab": "/dev/mapper/vg-var /var ext4 defaults 0 1\n"}) }, status: 1, want: []string{"mount /var: fstab names /dev/mapper/vg-var"}},
	{name: "fstab mounts on a file", change: func(p *place) {
		p.files(tinydisk.Files{"/etc/fstab": "UUID=0A1B-2C3D /etc/passwd vfat defaults 0 1\n"})
	}, status: 1, want: []string{"mount /etc/passwd"}},
	{name: "fstab is a pipe", change: func(p *place) { p.files(tinydisk.Files{"/etc/fstab": "|"}) }, status: 1, want: []string{"/etc/fstab", "neither a file nor a folder"}},
	{name: "os-release is a pipe", change: func(p *place) { p.files(tinydisk.Files{"/etc/os-release": "|"}) }, status: 1, want: []string{"does not say which distribution it is"}},
	{name: "os-release leads into /proc", change: func(p *place) { p.files(tinydisk.Files{"/etc/os-release": "->/proc/1/environ"}) }, status: 1, want: []string{"does not say which distribution it is"}},
	{name: "no os-release", change: func(p *place) { p.files(tinydisk.Files{"/etc/os-release": ""}) }, status: 1, want: []string{"the image does not say which distribution it is"}},
	{name: "os-release is a folder", change: func(p *place) { p.files(tinydisk.Files{"/etc/os-release": "", "/etc/os-release/x": "y"}) }, status: 1, want: []string{"does not say which distribution it is"}},
	{name: "made for arm64", change: func(p *place) { p.files(tinydisk.Files{"/bin/sh": shellFor(p, 183)}) }, status: 0, check: changed},
	{name: "made for i386", change: func(p *place) { p.files(tinydisk.Files{"/bin/sh": shellFor(p, 3)}) }, status: 0, check: changed},
	{name: "made for arm64, and a script to run", change: func(p *place) {
		p.files(tinydisk.Files{"/bin/sh": shellFor(p, 183)})
		p.do(os.WriteFile(p.config, []byte("scripts: {postCustomization: [{content: 'true'}]}\n"), 0o644))
	}, status: 3, want: []string{"scripts.postCustomization", "programs are made for aarch64 and do not run on this host, which is x86_64"}},
	{name: "a text for a shell", change: func(p *place) {
		p.files(tinydisk.Files{"/bin/sh": "text\n", "/usr/bin/env": "", "/bin/env": ""})
	}, status: 1, want: []string{"no shell to tell its architecture by"}},
	{name: "no kernel", change: func(p *place) { p.files(tinydisk.Files{"/lib/modules/6.1.0-1-amd64/file": ""}) }, status: 1, want: []string{"kernel"}},
	{name: "no space left in the root", change: func(p *place) {
		p.do(os.WriteFile(p.dir+"/big", bytes.Repeat([]byte("x"), 40<<20), 0o644))
		p.do(os.WriteFile(p.config, []byte("os: {additionalFiles: [{source: big, destination: /big}]}"), 0o644))
	}, status: 1, want: []string{"no space left on device", "/big"}},

	// Other formats.
	{name: "qcow2 cut in half", format: "qcow2", change: func(p *place) { p.cut(2 << 20) }, status: 1, want: []string{"this qcow2 image is damaged or truncated"}},
	{name: "qcow2 of a later version", format: "qcow2", change: func(p *place) { p.patch(4, []byte{0, 0, 0, 9}) }, status: 1, want: []string{"this qcow2 image cannot be read"}},
	{name: "qcow2 with a table outside", format: "qcow2", change: func(p *place) { p.patch(40, []byte{0, 0, 0, 0x7f, 0, 0, 0, 0}) }, status: 1, want: []string{"qcow2 image"}},
	{name: "qcow2 with a damaged table", format: "qcow2", change: func(p *place) { p.patch(int64(binary.BigEndian.Uint64(p.read(40, 8))), bytes.Repeat([]byte{0x7f}, 8)) }, status: 1, want: []string{"qcow2 image"}},
	{name: "qcow2 with unknown features", format: "qcow2", change: func(p *place) { p.patch(72, []byte{0x80}) }, status: 1, want: []string{"this qcow2 image cannot be read"}},
	{name: "qcow2 with a backing file", format: "qcow2", change: func(p *place) {
		tinydisk.Run(p.t, "", "qemu-img", "rebase", "-u", "-b", "/etc/shadow", "-F", "raw", p.image)
	}, status: 1, want: []string{`refers to a further file, "/etc/shadow"`, "--allow-backing-file"}},
	{name: "qcow2 with its data elsewhere", format: "qcow2", change: func(p *place) { p.patch(79, []byte{4}) }, status: 1, want: []string{"refers to a further file that holds its data"}},
	{name: "vdi cut in half", format: "vdi", change: func(p *place) { p.cut(6 << 20) }, status: 1, want: []string{"block", "VDI", "truncated"}},
	{name: "vdi with a parent", format: "vdi", change: func(p *place) { p.patch(0x1a8, []byte{1}) }, status: 1, want: []string{"merge them first"}},
	{name: "vhdx cut in half", format: "vhdx", change: func(p *place) { p.cut(6 << 20) }, status: 1, want: []string{"truncated"}},
	{name: "vhdx with one bad header", format: "vhdx", change: func(p *place) { p.patch(64<<10, make([]byte, 4096)) }, status: 0, check: changed},
	{name: "vhdx with two bad headers", format: "vhdx", change: func(p *place) { p.patch(64<<10, make([]byte, 128<<10)) }, status: 1, want: []string{"this vhdx image cannot be read"}},
	{name: "vhdx without regions", format: "vhdx", change: func(p *place) { p.patch(192<<10, make([]byte, 128<<10)) }, status: 1, want: []string{"this vhdx image cannot be read"}},
	{name: "vhdx with a block outside", format: "vhdx", change: func(p *place) {
		at := int64(bytes.Index(p.read(192<<10, 64<<10), []byte{0x66, 0x77, 0xc2, 0x2d}))
		bat := int64(binary.LittleEndian.Uint64(p.read(192<<10+at+16, 8)))
		p.patch(bat, binary.LittleEndian.AppendUint64(nil, 1<<40|6))
	}, status: 1, want: []string{"block", "vhdx"}},
	{name: "vhd with a bad footer", format: "vhd", change: func(p *place) { p.patch(-512+50, []byte{1}) }, status: 1, want: []string{"the checksum of the VHD footer is wrong"}},
	{name: "vhd without a footer", format: "vhd", change: func(p *place) { p.cut(-512) }, status: 1, want: []string{"this VHD has lost its footer"}},
	{name: "vhd with a bad header", format: "vhd", change: func(p *place) { p.patch(512, make([]byte, 1024)) }, status: 1, want: []string{"this vhd image cannot be read"}},
	{name: "vhd that needs a parent", format: "vhd", change: func(p *place) { footer(p, 60, 4) }, status: 1, want: []string{"this is a differencing VHD, which needs its parent"}},
	{name: "vhd of an unknown type", format: "vhd", change: func(p *place) { footer(p, 60, 77) }, status: 1, want: []string{"this VHD is of type 77, which does not exist: the file is damaged"}},
	{name: "fixed vhd of another size", format: "vhd-fixed", change: func(p *place) { footer(p, 52, 512) }, status: 1, want: []string{"this fixed VHD says its disk has"}},
	{name: "fixed vhd cut", format: "vhd-fixed", change: func(p *place) { p.cut(-1024) }, status: 1, want: []string{"truncated"}},

	// The command line and the files around.
	{name: "base image missing", change: func(p *place) { p.do(os.Remove(p.image)) }, status: 2, want: []string{"base image", "no such file"}},
	{name: "base image is a folder", change: func(p *place) { p.image = p.dir }, status: 2, want: []string{"is not a regular file"}},
	{name: "base image is a device", change: func(p *place) { p.image = "/dev/null" }, status: 2, want: []string{"/dev/null is not a regular file"}},
	{name: "base image is read-only", change: func(p *place) { p.do(os.Chmod(p.image, 0o400)) }, status: 0, check: changed},
	{name: "base image on a read-only mount", change: func(p *place) {
		p.prefix = []string{"unshare", "-m", "sh", "-c", "mount --bind $0 $0 && mount -o remount,ro,bind $0 && exec \"$@\"", p.image}
	}, status: 0, check: changed},
	{name: "base image by a link", change: func(p *place) { p.do(os.Symlink(p.image, p.dir+"/link")); p.image = p.dir + "/link" }, status: 0, check: changed},
	{name: "config missing", change: func(p *place) { p.do(os.Remove(p.config)) }, status: 3, want: []string{"cannot read the config file", "no such file"}},
	{name: "config is a folder", change: func(p *place) { p.config = p.dir }, status: 3, want: []string{"cannot read the config file", "is a directory"}},
	{name: "config is an image", change: func(p *place) { p.config = p.image }, status: 3, want: []string{"error"}},
	{name: "config is not UTF-8", change: func(p *place) { p.do(os.WriteFile(p.config, []byte("os:\n  hostname: \xff\xfe\n"), 0o644)) }, status: 3, want: []string{"config.yaml"}},
	{name: "output is the base image", change: func(p *place) { p.out = p.image }, status: 2, want: []string{"is the base image, which is never modified"}},
	{name: "output is the base image, by a link", change: func(p *place) { p.do(os.Symlink(p.image, p.out)) }, status: 2, want: []string{"is the base image, which is never modified"}},
	{name: "output is the base image, by a second name", change: func(p *place) { p.do(os.Link(p.image, p.out)) }, status: 2, want: []string{"is the base image, which is never modified"}},
	{name: "output is the base image, by its folder", change: func(p *place) {
		p.do(os.Symlink(p.dir, p.dir+"/folder"))
		p.out = p.dir + "/folder/" + filepath.Base(p.image)
	}, status: 2, want: []string{"is the base image, which is never modified"}},
	{name: "output is the config file", change: func(p *place) { p.out = p.config }, status: 2, want: []string{"is the config file, which is never modified", "name another file"}, check: func(p *place) {
		if data, _ := os.ReadFile(p.config); string(data) != goodConfig {
			p.t.Error("the config file was overwritten")
		}
	}},
	{name: "output is a folder", change: func(p *place) { p.do(os.Mkdir(p.out, 0o755)) }, status: 2, want: []string{"is a directory; name the file to write"}},
	{name: "output below a file", change: func(p *place) { p.out = p.config + "/out.raw" }, status: 2, want: []string{"not a directory"}},
	{name: "output in a folder of the kernel", change: func(p *place) { p.out = "/proc/out.raw" }, status: 1, want: []string{"/proc"}},
	{name: "output is a device", change: func(p *place) { p.out = "/dev/null" }, status: 2, want: []string{"/dev/null"}},
	{name: "output by a link that leads nowhere", change: func(p *place) { p.do(os.Symlink(p.dir+"/elsewhere/x", p.out)) }, status: 0, check: func(p *place) {
		p.out = p.dir + "/elsewhere/x"
		changed(p)
	}},
	{name: "two outputs of one name", change: func(p *place) { flag("--output", "raw="+p.out)(p) }, status: 2, want: []string{"two outputs have the same path"}},
	{name: "two outputs of one name, by a link", change: func(p *place) {
		p.do(os.Symlink(p.dir, p.dir+"/folder"))
		flag("--output", "raw="+p.dir+"/folder/out.raw")(p)
	}, status: 2, want: []string{"two outputs have the same path"}},
	{name: "no output", change: func(p *place) { p.out = "" }, status: 2, want: []string{"no output"}},
	{name: "output of no format", change: func(p *place) { flag("--output", p.dir+"/x")(p) }, status: 2, want: []string{"want FORMAT=PATH"}},
	{name: "output of an unknown format", change: func(p *place) { flag("--output", "vmdk="+p.dir+"/x")(p) }, status: 2, want: []string{"vmdk"}},
	{name: "build folder is a file", change: func(p *place) { flag("--build-dir", p.config)(p) }, status: 1, want: []string{"cannot make the build folder"}},
	{name: "build folder of the kernel", change: func(p *place) { flag("--build-dir", "/proc/build")(p) }, status: 1, want: []string{"cannot make the build folder"}},
	{name: "package cache is a file", change: func(p *place) { flag("--package-cache-dir", p.config)(p) }, status: 1, want: []string{"not a directory"}},
	{name: "build folder on tmpfs", change: func(p *place) {
		p.prefix = []string{"unshare", "-m", "sh", "-c", "mkdir -p $0 && mount -t tmpfs none $0 && exec \"$@\"", p.dir + "/build"}
	}, status: 0, check: changed},
	{name: "build folder on overlayfs", change: func(p *place) {
		p.prefix = []string{"unshare", "-m", "sh", "-c", "mkdir -p $0 $0-l $0-t && mount -t tmpfs none $0-t && mkdir $0-t/u $0-t/w && mount -t overlay -o lowerdir=$0-l,upperdir=$0-t/u,workdir=$0-t/w none $0 && exec \"$@\"", p.dir + "/build"}
	}, status: 0, check: changed},
	{name: "output on tmpfs", change: func(p *place) {
		p.prefix = []string{"unshare", "-m", "sh", "-c", "mkdir -p $0 && mount -t tmpfs none $0 && \"$@\" && cp $0/out.raw " + p.dir + "/out.raw", p.dir + "/o"}
		p.args = []string{"--output-image-file", p.dir + "/o/out.raw"}
	}, status: 0, check: changed},
	{name: "not root", change: func(p *place) {
		tinydisk.Run(p.t, "", "chmod", "-R", "a+rwX", p.dir)
		for d := p.dir; len(d) > 4; d = filepath.Dir(d) {
			_ = os.Chmod(d, 0o777)
		}
		_ = os.Chmod(scratch, 0o755)
		p.prefix = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=" + p.dir}
	}, status: 4, want: []string{"root is needed", "sudo"}},
	{name: "no standard output", change: func(p *place) { p.prefix = []string{"sh", "-c", "exec \"$@\" >&-", "sh"} }, status: 0, check: changed},
	{name: "no environment", change: func(p *place) { p.prefix = []string{"env", "-i"} }, status: 0, check: changed},
}

// footer changes a 4-byte field of both copies of a VHD footer, with its checksum.
func footer(p *place, field int64, value uint32) {
	for _, at := range []int64{-512, 0} {
		if at == 0 && !strings.HasPrefix(string(p.read(0, 8)), "conectix") {
			continue
		}
		f := bytes.Clone(p.read(at, 512))
		binary.BigEndian.PutUint32(f[field:], value)
		clear(f[64:68])
		sum := uint32(0)
		for _, b := range f {
			sum += uint32(b)
		}
		binary.BigEndian.PutUint32(f[64:], ^sum)
		p.patch(at, f)
	}
}
