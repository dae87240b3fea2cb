package disk

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someFstab = `# /etc/fstab

UUID=0A1B-2C3D	/boot/efi  vfat	umask=0077,shortname=winnt 0 1
 PARTUUID="aa-01" / ext4 defaults,errors=remount-ro 0 1 # not a comment to mount
LABEL=my\040data	/srv/a\040b/ xfs
/dev/sda3 none swap sw 0 0
broken line
no newline at the end /x`

func TestParseFstab(t *testing.T) {
	t.Parallel()
	f := ParseFstab(someFstab)
	want := []Entry{
		{Source: "UUID=0A1B-2C3D", Target: "/boot/efi", Type: "vfat", Options: []string{"umask=0077", "shortname=winnt"}, Pass: 1},
		{Source: "PARTUUID=aa-01", Target: "/", Type: "ext4", Options: []string{"defaults", "errors=remount-ro"}, Pass: 1},
		{Source: "LABEL=my data", Target: "/srv/a b", Type: "xfs"},
		{Source: "/dev/sda3", Target: "none", Type: "swap", Options: []string{"sw"}},
		{Source: "no", Target: "newline", Type: "at", Options: []string{"the"}},
	}
	if diff := cmp.Diff(want, f.Entries()); diff != "" {
		t.Error(diff)
	}
	if f.String() != someFstab {
		t.Errorf("what was not changed is not written as it was read:\n%s", f)
	}
}

func TestFstabKeepsOtherLines(t *testing.T) {
	t.Parallel()
	f := ParseFstab(someFstab)
	f[4].Entry.Source = "LABEL=other name"
	f[4].Entry.Pass = 2
	got := f.String()
	want := strings.Replace(someFstab, "LABEL=my\\040data\t/srv/a\\040b/ xfs\n", "LABEL=other\\040name /srv/a\\040b xfs defaults 0 2\n", 1)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUse(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]Use{
		"UUID=1 / ext4 ro,noexec":                                         Mount,
		"UUID=1 /home btrfs subvol=home,nofail":                           Mount,
		"UUID=1 /efi vfat noauto,x-systemd.automount":                     Mount,
		"UUID=1 /efi vfat noauto":                                         Mount,
		"UUID=1 /boot ext4 noauto":                                        Mount,
		"UUID=1 /data ext4 noauto":                                        Ignore,
		"UUID=1 none swap sw":                                             Swap,
		"/swapfile swap swap sw":                                          Ignore,
		"overlay /etc overlay lowerdir=/etc":                              Ignore,
		"proc /proc proc defaults":                                        Ignore,
		"tmpfs /tmp tmpfs size=1g":                                        Ignore,
		"/a /b none bind":                                                 Ignore,
		"/disk.img /mnt ext4 loop":                                        Ignore,
		"host:/x /x nfs defaults":                                         Ignore,
		"/dev/sdb /iscsi ext4 _netdev":                                    Ignore,
		"u@h:/x /x fuse.sshfs defaults":                                   Ignore,
		"/dev/sr0 /media/cdrom auto user":                                 Ignore,
		"/dev/disk/cloud/azure_resource-part1 /mnt auto defaults,nofail":  Data,
		"/dev/disk/azure/resource-part1 /mnt ext4 nofail":                 Data,
		"/dev/disk/azure/scsi1/lun0-part1 /data xfs defaults,nofail 0\t2": Data,
	} {
		if got := ParseFstab(line).Entries()[0].Use(); got != want {
			t.Errorf("%s: got %d, want %d", line, got, want)
		}
	}
}

func FuzzFstab(f *testing.F) {
	f.Add(someFstab)
	f.Add("LABEL=\"a\\040b\" /a\\011b ext4 x=\\134,y 1 2\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		fs := ParseFstab(text)
		if fs.String() != text {
			t.Errorf("%q became %q", text, fs.String())
		}
		for _, e := range fs.Entries() {
			again := ParseFstab(e.String()).Entries()
			if len(again) != 1 || again[0].String() != e.String() {
				t.Errorf("%#v is written as %q, and read as %#v", e, e.String(), again)
			}
		}
	})
}

func TestFind(t *testing.T) {
	t.Parallel()
	volumes := []Volume{
		{Partition{Number: 1, UUID: "1234abcd-01", Name: "EFI System"}, Content{UUID: "0A1B-2C3D", Label: "ESP", Type: "vfat"}},
		{Partition{Number: 2, UUID: "1234abcd-02", Name: "a/b"}, Content{UUID: someUUID, Label: "root", Type: "ext4"}},
		{Partition{Number: 15, UUID: "1234abcd-0f"}, Content{Label: "twin", Type: "ext4"}},
		{Partition{Number: 16}, Content{Label: "twin"}},
	}
	for source, want := range map[string]int{
		"UUID=0a1b-2c3d": 1, "UUID=" + strings.ToUpper(someUUID): 2, "PARTUUID=1234ABCD-0F": 15,
		"LABEL=root": 2, "LABEL=ROOT": 0, "PARTLABEL=EFI System": 1, "LABEL=": 0, "UUID=": 0, "ID=1": 0, "root": 0,
		"/dev/sda2": 2, "/dev/nvme0n1p15": 15, "/dev/vdb1": 1, "/dev/mmcblk0p2": 2, "/dev/nvme0n1": 0, "/dev/mapper/vg-root2": 0,
		"/dev/disk/by-uuid/0a1b-2c3d": 1, "/dev/disk/by-partuuid/1234abcd-02": 2, "/dev/disk/by-label/esp": 0,
		`/dev/disk/by-partlabel/EFI\x20System`: 1, `/dev/disk/by-partlabel/a\x2fb`: 2, "/dev/disk/by-path/pci-0000:00:1f-part15": 15,
		"LABEL=twin": -1,
	} {
		got, err := Find(volumes, source)
		switch {
		case want <= 0:
			text := map[int]string{0: "no partition of the image", -1: "both partition 15 and partition 16"}[want]
			if err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), source) {
				t.Errorf("%s: got %+v, %v", source, got, err)
			}
		case err != nil:
			t.Error(err)
		case got.Number != want:
			t.Errorf("%s: got %d, want %d", source, got.Number, want)
		}
	}
}
