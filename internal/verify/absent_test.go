package verify

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imagecustomizer/internal/initramfs"
)

// TestAbsentArguments tries values that are there and values that are not, for every argument that names something.
func TestAbsentArguments(t *testing.T) {
	t.Parallel()
	const cfg = "/boot/grub/grub.cfg"
	const menu = "search --fs-uuid --set=root " + bootUUID + "\nmenuentry a {\n\tlinux /vmlinuz-6.12 root=UUID=" + rootUUID + " quiet\n\tinitrd /initramfs-6.12.img\n}\n" +
		"menuentry ipxe {\n\tlinux16 /ipxe.lkrn init=/nowhere\n}\n"
	luks, pv := part{script: "size=16M"}, part{script: "size=16M"}
	p := newPatient(t, fixture(t, "gpt", []part{espPart, bootPart, extRoot, luks, pv}, merge(kernelFiles("6.12", "initramfs-6.12.img"), efiFiles("/EFI/debian"), map[string]string{
		fstabFile: "LABEL=root / ext4 defaults 0 1\nUUID=" + bootUUID + " /boot ext4 defaults 0 2\nUUID=" + espID + " /boot/efi vfat umask=0077 0 2\n",
		cfg:       menu, "/boot/ipxe.lkrn": someKernel, "/usr/sbin/own-init": "#!/bin/sh", "/usr/lib/dracut/modules.d/": "",
		"/boot/efi/EFI/debian/grub.cfg":           "search.fs_uuid " + bootUUID + " root\nset prefix=($root)/grub\nconfigfile $prefix/grub.cfg\n",
		"/usr/share/initramfs-tools/scripts/live": "x", "/etc/initramfs-tools/scripts/mine": "x",
		"/usr/lib/systemd/system/rescue.target": "", "/usr/lib/systemd/system/getty@.service": "",
		"/boot/initramfs-6.12.img": packedInitramfs(t, "init", "usr/bin/sh", "usr/lib/systemd/systemd", "usr/lib/systemd/system/emergency.target", "usr/lib/systemd/system/debug@.service"),
	})))
	p.Mounts[0], p.Mounts[2] = p.Mounts[2], p.Mounts[0] // the root is first
	at := p.Mounts[0].Volume.Start + p.Mounts[0].Volume.Size
	luksHead := append([]byte("LUKS\xba\xbe\x00\x02"), make([]byte, 200)...)
	copy(luksHead[168:], "12345678-1234-4000-8000-000000000001")
	p.poke(at, luksHead...)
	pvHead := append([]byte("LABELONE"), make([]byte, 200)...)
	copy(pvHead[20:], []byte{32, 0, 0, 0})
	copy(pvHead[24:], "LVM2 001aaaaaabbbbccccddddeeeeffffgggggg")
	p.poke(at+16*mib+512, pvHead...)
	p.poke(at+16*mib+8192, []byte("vg0 {\nid = \"x\"\nlogical_volumes {\nroot {\n")...)
	for _, c := range []struct {
		args, wrong string // a regular expression, "" where all is well
	}{
		{"init=/sbin/own-init", ""}, {"init=/sbin/none", "there is no such program"}, {"init=bin/sh", "not an absolute path"}, {"init=/etc", "this program is not a file"},
		{"init=/sbin/none init=/sbin/own-init", ""}, {"init=/sbin/own-init init=/sbin/none", "there is no such program"},
		{"systemd.unit=rescue.target", ""}, {"systemd.unit=getty@tty9.service", ""}, {"systemd.unit=no.target", "no such unit"}, {"systemd.wants=no.service", "no such unit"},
		{"rootfstype=ext4", ""}, {"rootfstype=xfs,ext4", ""}, {"rootfstype=auto", ""}, {"rootfstype=xfs", "the filesystem of / is ext4"}, {"rootfstype=ext3", "is ext4"},
		{"rootflags=data=ordered", ""}, {"rootflags=subvol=@", "an option of btrfs"}, {"rootflags=noatime,subvolid=5", "an option of btrfs"},
		{"rd.luks.uuid=12345678-1234-4000-8000-000000000001", ""}, {"rd.luks.uuid=luks-12345678-1234-4000-8000-000000000001", ""}, {"rd.luks.uuid=12345678", ""},
		{"rd.luks.name=12345678-1234-4000-8000-000000000001=root", ""}, {"luks.uuid=" + wrongUUID, "no partition of the image is encrypted"},
		{"rd.luks.uuid=" + wrongUUID + " rd.luks.uuid=12345678-1234-4000-8000-000000000001", "no partition of the image is encrypted"},
		{"rd.lvm.vg=vg0", ""}, {"rd.lvm.lv=vg0/root", ""}, {"rd.lvm.lv=vg0/usr", "no physical volume"}, {"rd.lvm.vg=vg1", "no physical volume"},
		{"rd.md.uuid=1:2:3:4", "no partition of the image is a member"},
		{"boot=UUID=" + bootUUID, ""}, {"boot=UUID=" + wrongUUID, "no partition of the image is that"}, {"boot=UUID=" + espID, "this is partition 1, but the files of /boot lie on partition 2"},
		{"boot=live", ""}, {"boot=mine", ""}, {"boot=casper", "no script of this name"},
		{"fips=1 boot=UUID=" + bootUUID, ""}, {"fips=1", "needs boot="}, {"ostree=/etc", ""}, {"ostree=/ostree/boot.1/x/y/0", "no such path"},
		{"rdinit=/init", ""}, {"rdinit=/bin/sh", ""}, {"rdinit=/none", "the initramfs has no program /none"}, {"rdinit=init", "not an absolute path"}, {"rdinit=/sbin/init", "no program"},
		{"rd.systemd.unit=emergency.target", ""}, {"rd.systemd.unit=debug@tty9.service", ""}, {"rd.systemd.unit=rescue.target", "the initramfs has no such unit"}, {"rd.systemd.wants=no.service", "has no such unit"},
		{"cryptdevice=UUID=" + rootUUID + ":root:allow-discards", ""}, {"cryptdevice=UUID=" + wrongUUID + ":root", "no partition of the image is that"}, {"cryptdevice=/dev/sda9:root", "no partition of the image is that"},
		{"cryptopts=target=x,source=/dev/disk/by-uuid/" + rootUUID, ""}, {"cryptopts=target=x,source=UUID=" + wrongUUID + ",lvm=a-b", "no partition of the image is that"},
		{"rd.luks.partuuid=" + rootPart, ""}, {"rd.luks.partuuid=" + wrongUUID, "no partition of the image is that"}, {"luks.data=" + wrongUUID + "=LABEL=none", "no partition of the image is that"},
		{"real_init=/sbin/own-init", ""}, {"real_init=/sbin/none", "there is no such program"}, {"real_root=LABEL=root", ""}, {"real_root=LABEL=none", "no partition of the image is that"},
		{"crypt_root=UUID=" + wrongUUID, "no partition of the image is that"}, {"systemd.run=/sbin/own-init", ""}, {"systemd.run=/sbin/none", "there is no such program"},
		{"systemd.mount-extra=UUID=" + wrongUUID + ":/data:ext4:nofail", ""}, {"systemd.mount-extra=LABEL=root:/data", ""}, {"systemd.mount-extra=tmpfs:/data:tmpfs", ""},
		{"systemd.mount-extra=UUID=" + wrongUUID + ":/data:ext4", "no partition of the image is that"}, {"rd.systemd.mount_extra=LABEL=none:/sysroot/x", "no partition of the image is that"},
		{"systemd.swap-extra=UUID=" + wrongUUID, "no partition of the image is that"}, {"systemd.swap-extra=/dev/zram0", ""}, {"resume=/dev/mapper/vg0-swap", ""},
		{"overlayroot=tmpfs:swap=1", ""}, {"overlayroot=device:dev=LABEL=none,timeout=20", "no partition of the image is that"}, {"overlayroot=device:dev=/dev/vdb", ""},
		{"loop=/etc/fstab", ""}, {"loop=/none.img", "no such path"}, {"mount.usrflags=subvol=usr", "an option of btrfs"},
		{"systemd.verity-root-data=UUID=" + wrongUUID, "no partition of the image is that"}, {"rd.luks-uuid=" + wrongUUID, ""},
		{"nosuchargument=/none", ""},
	} {
		t.Run(c.args, func(t *testing.T) {
			p.t, p.undo = t, nil
			p.edit(cfg, "quiet", c.args)
			found := Run(t.Context(), p.Image)
			p.undo[0]()
			if wrong := WrongArgs(t.Context(), p.Image, strings.Fields(c.args), false); (len(wrong) > 0) != (c.wrong != "") && !strings.HasPrefix(c.args, "fips") {
				t.Errorf("found when planning: %v", wrong)
			}
			switch {
			case c.wrong == "" && len(found) > 0:
				t.Errorf("found %v", found)
			case c.wrong != "" && (len(found) != 1 || !regexp.MustCompile(`^`+cfg+`:3: .*`+c.wrong).MatchString(found[0].String())):
				t.Errorf("found %v, want %s", found, fmt.Sprint(c.wrong))
			}
		})
	}
}

// packedInitramfs is one with these files, all empty.
func packedInitramfs(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := (initramfs.Tree{Dir: dir}).WriteImage(t.Context(), "zstd", &b); err != nil {
		t.Fatal(err)
	}
	return b.String() + strings.Repeat("\x00", 4096)
}

// TestMappedRoot tries names below /dev/mapper where something could become them, and where nothing could.
func TestMappedRoot(t *testing.T) {
	t.Parallel()
	const menu = "menuentry a {\n\tlinux /boot/vmlinuz-6.12 root=UUID=" + rootUUID + "\n\tinitrd /boot/initramfs-6.12.img\n}\n"
	p := newPatient(t, fixture(t, "gpt", []part{espPart, extRoot}, merge(kernelFiles("6.12", "initramfs-6.12.img"), efiFiles("/boot/grub"), map[string]string{
		fstabFile: "LABEL=root / ext4 defaults 0 1\n", "/boot/grub/grub.cfg": menu,
	})))
	p.Mounts[0], p.Mounts[1] = p.Mounts[1], p.Mounts[0]
	for args, wrong := range map[string]bool{
		"resume=/dev/mapper/vg0-swap": true, "resume=/dev/mapper/luks-" + wrongUUID: true, "usr=/dev/mapper/none": true, "resume=/dev/mapper/mpatha-part2": false,
		"resume=/dev/mapper/x dm-mod.create=x": false,
	} {
		p.t, p.undo = t, nil
		p.edit("/boot/grub/grub.cfg", "root=", args+" root=")
		found := Run(t.Context(), p.Image)
		p.undo[0]()
		if is := slices.ContainsFunc(found, func(f Finding) bool { return strings.Contains(f.Text, "could become this device") }); is != wrong {
			t.Errorf("%s: found %v", args, found)
		}
	}
}
