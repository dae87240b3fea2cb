//go:build root

package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const (
	esp     = "size=64M, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=\"EFI System\""
	rootID  = "0a1b2c3d-1111-4222-8333-44445555aaaa"
	bootID  = "0a1b2c3d-1111-4222-8333-44445555bbbb"
	partID  = "0A1B2C3D-1111-4222-8333-44445555CCCC"
	loader  = "EFI/BOOT/BOOTX64.EFI"
	mkESP   = "mkfs.vfat -F 16 -i 0A1B2C3D"
	mkRoot  = "mkfs.ext4 -q -U " + rootID
	noQuota = "UUID=" + rootID + " / ext4 errors=remount-ro,ro 0 1\n"
)

var bootFiles = map[string]string{loader: "loader"}

// layouts are disks and what must be mounted where: partition numbers by path.
var layouts = map[string]struct {
	label  string
	sector int
	parts  []part
	mounts map[string]int
}{
	"plain": {"gpt", 512, []part{
		{esp, mkESP, bootFiles},
		{"size=400M", mkRoot, map[string]string{"etc/fstab": noQuota + "UUID=0A1B-2C3D /boot/efi vfat umask=0077 0 1\n"}},
		{"size=100M, type=swap", "mkswap -q", nil},
	}, map[string]int{"/": 2, "/boot/efi": 1}},
	"4096-byte sectors": {"gpt", 4096, []part{
		{"size=280M, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "mkfs.vfat -F 32 -s 1 -S 4096 -i 0A1B2C3D", bootFiles},
		{"size=400M", mkRoot, map[string]string{"etc/fstab": noQuota + "UUID=0A1B-2C3D /boot/efi vfat umask=0077 0 1\n"}},
	}, map[string]int{"/": 2, "/boot/efi": 1}},
	"many partitions": {"gpt", 512, []part{
		{"size=1M, type=21686148-6449-6E6F-744E-656564454649", "", nil},
		{esp, mkESP, bootFiles},
		{"size=100M, uuid=" + partID, "mkfs.ext2 -q", map[string]string{"vmlinuz": "kernel"}},
		{"size=100M", mkRoot, map[string]string{"var": "->/data/variable", "data/variable/x": "", "home": "", "etc/fstab": `# all kinds of names
UUID=` + rootID + ` / ext4 defaults 0 1
PARTLABEL=EFI\040System /boot/efi vfat umask=0077,noauto,x-systemd.automount 0 1
PARTUUID=` + partID + ` /boot ext2 noexec 0 2
LABEL=usr\040files /usr xfs ro 0 2
/dev/sda6 /var ext3 nosuid 0 2
/dev/disk/by-label/my\134x20home /home\040of\040all ext4 nofail 0 2
LABEL=absent /absent ext4 nofail 0 2
/dev/disk/cloud/azure_resource-part1 /mnt auto defaults,nofail 0 2
proc /proc proc defaults 0 0
/dev/sda9 none swap sw 0 0
overlay /etc overlay lowerdir=/etc,upperdir=/var/etc,workdir=/var/work 0 0
tmpfs /tmp tmpfs size=1g 0 0
`}},
		{"size=320M", "mkfs.xfs -q -L 'usr files'", map[string]string{"bin/sh": "shell"}},
		{"size=100M", "mkfs.ext3 -q", map[string]string{"lib/x": "y"}},
		{"size=100M", "mkfs.ext4 -q -L 'my home'", nil},
		{"size=100M", "mkfs.ext4 -q", nil},
	}, map[string]int{"/": 4, "/boot": 3, "/boot/efi": 2, "/usr": 5, "/var": 6, "/home of all": 7}},
	"other disks, and names written wrongly": {"gpt", 512, []part{
		{esp, mkESP, bootFiles},
		{"size=400M", mkRoot, map[string]string{"mnt/x": "", "data/x": "", "scratch/x": "", "lustre/x": "", "etc/fstab": noQuota +
			"UUID='0a1b-2c3d' /boot/efi vfat umask=0077 0 1\n/dev/sdb2 /mnt auto defaults,nofail,comment=cloudconfig 0 2\n" +
			"/dev/nvme1n1 /data xfs defaults 0 2\nUUID=5678-ABCD /scratch auto defaults 0 0\n10.0.0.5@tcp:/fsx /lustre lustre flock 0 0\n" +
			"none /proc/xen xenfs defaults 0 0\n/dev/sda2 /absent auto nofail 0 0\n"}},
	}, map[string]int{"/": 2, "/boot/efi": 1}},
	"mounted on demand": {"gpt", 512, []part{
		{esp, mkESP, bootFiles}, {"size=100M", "mkfs.ext4 -q -L boot", nil}, {"size=100M", "mkfs.ext4 -q -L data", nil},
		{"size=400M", mkRoot, map[string]string{"etc/fstab": noQuota + "UUID=0A1B-2C3D /boot/efi vfat noauto 0 1\nLABEL=boot /boot ext4 noauto 0 0\nLABEL=data /data ext4 noauto 0 0\n"}},
	}, map[string]int{"/": 4, "/boot": 2, "/boot/efi": 1}},
	"an EFI system partition that fstab does not name": {"gpt", 512, []part{
		{esp, mkESP, bootFiles}, {"size=400M", mkRoot, map[string]string{"efi/": "", "etc/fstab": noQuota}},
	}, map[string]int{"/": 2, "/efi": 1}},
	"one that has no place": {"gpt", 512, []part{
		{esp, mkESP, bootFiles}, {"size=400M", mkRoot, map[string]string{"boot/efi/EFI/x": "a copy of its files", "etc/fstab": noQuota}},
	}, map[string]int{"/": 2}},
	"named by a disk's serial number": {"gpt", 512, []part{
		{esp, mkESP, bootFiles},
		{"size=400M", mkRoot, map[string]string{"etc/fstab": "/dev/disk/by-id/ata-QEMU_HARDDISK_QM1-part2 / ext4 defaults 0 1\n/dev/disk/by-id/ata-QEMU_HARDDISK_QM1-part1 /boot/efi vfat defaults 0 1\n"}},
	}, map[string]int{"/": 2, "/boot/efi": 1}},
	"xfs": {"gpt", 512, []part{
		{"size=320M", "mkfs.xfs -q -m uuid=" + rootID, map[string]string{"etc/fstab": "UUID=" + rootID + " / xfs defaults 0 0\n"}},
	}, map[string]int{"/": 1}},
	"btrfs subvolumes": {"gpt", 512, []part{
		{esp, mkESP, bootFiles},
		{"size=400M", "mkfs.btrfs -q -U " + rootID, map[string]string{
			"@home/x": "x", "@logs/y": "y",
			"@/etc/fstab": "UUID=" + rootID + " / btrfs subvol=@,compress=zstd 0 0\nUUID=" + rootID + " /home btrfs subvol=/@home,ro 0 0\n" +
				"UUID=" + rootID + " /var/log btrfs subvol=@logs 0 0\nUUID=0A1B-2C3D /boot/efi vfat defaults 0 1\n",
		}},
	}, map[string]int{"/": 2, "/home": 2, "/var/log": 2, "/boot/efi": 1}},
	"btrfs top": {"gpt", 512, []part{
		{"size=400M", "mkfs.btrfs -q -U " + rootID, map[string]string{"etc/fstab": "UUID=" + rootID + " / btrfs defaults 0 0\n", "@snapshot/x": ""}},
	}, map[string]int{"/": 1}},
	"MBR": {"dos", 512, []part{
		{"size=400M, type=83", "mkfs.ext4 -q", map[string]string{"etc/fstab": "PARTUUID=12345678-01 / ext4 defaults 0 1\nPARTUUID=12345678-06 /srv ext4 defaults 0 2\n"}},
		{"type=5", "", nil},
		{"size=100M, type=82", "mkswap -q", nil},
		{"size=100M, type=83", "mkfs.ext4 -q", nil},
	}, map[string]int{"/": 1, "/srv": 6}},
}

func open(t testing.TB, file *os.File) (*Disk, error) {
	t.Helper()
	d, err := Open(t.Context(), file, t.TempDir())
	if d != nil {
		t.Cleanup(func() { must(t, d.Close()) })
	}
	return d, err
}

// TestOpenChangeClose opens each layout, writes a file into each filesystem, closes and checks it,
// and finds the files again where they belong. Nodes in /dev are the process's: no parallel runs.
func TestOpenChangeClose(t *testing.T) {
	for name, l := range layouts {
		t.Run(name, func(t *testing.T) {
			file := build(t, l.label, l.sector, l.parts)
			d, err := open(t, file)
			must(t, err)
			got := map[string]int{}
			for _, m := range d.Mounts {
				got[m.Path] = m.Volume.Number
				must(t, d.Root.WriteFile(path.Join(m.Path, "test.txt"), []byte("in "+m.Path), 0o644))
			}
			if diff := cmp.Diff(l.mounts, got); diff != "" || d.Mounts[0].Path != "/" {
				t.Error(diff)
			}
			if !d.Root.Exists("/etc/fstab") {
				t.Error("the root is not where the fstab is")
			}
			must(t, d.Trim())
			must(t, d.Unmount())
			must(t, d.Check(t.Context()))
			must(t, d.Close())
			if left := mountsBelow(t, d.Root.Dir()); left != "" {
				t.Errorf("still mounted: %s", left)
			}
			again, err := open(t, file)
			must(t, err)
			for p := range l.mounts {
				if data, err := again.Root.ReadFile(path.Join(p, "test.txt")); err != nil || string(data) != "in "+p {
					t.Errorf("%s: %q, %v", p, data, err)
				}
			}
			must(t, again.Close())
		})
	}
}

func mountsBelow(t testing.TB, dir string) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	var found []string
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, dir) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

func TestNodesAndLinks(t *testing.T) {
	file := build(t, "gpt", 512, layouts["plain"].parts)
	d, err := open(t, file)
	must(t, err)
	if got := slices.Sorted(maps.Keys(d.Nodes)); !slices.Equal(got, []string{"vda", "vda1", "vda2", "vda3"}) {
		t.Error(got)
	}
	for link, want := range map[string]string{
		"disk/by-uuid/0A1B-2C3D": "../../vda1", "disk/by-uuid/" + rootID: "../../vda2", `disk/by-partlabel/EFI\x20System`: "../../vda1",
	} {
		if d.Links[link] != want {
			t.Errorf("%s leads to %q", link, d.Links[link])
		}
	}
	must(t, d.Close())
	if found, _ := os.ReadDir("/dev"); slices.ContainsFunc(found, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), "vd") }) {
		t.Error("nodes stay in /dev after the disk was closed")
	}
}

// TestDataDiskIsCovered: what a script writes to a disk that only the cloud has must fail.
func TestDataDiskIsCovered(t *testing.T) {
	file := build(t, "gpt", 512, layouts["other disks, and names written wrongly"].parts)
	d, err := open(t, file)
	must(t, err)
	for _, name := range []string{"/mnt/x", "/data/x", "/scratch/x", "/mnt/etc/fstab"} {
		if err := d.Root.WriteFile(name, nil, 0o644); err == nil || !strings.Contains(err.Error(), "read-only") && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if diff := cmp.Diff([]string{"/mnt", "/data", "/scratch", "/absent"}, d.Covered); diff != "" || d.Root.Exists("/absent") {
		t.Errorf("%s, or a folder was made", diff)
	}
	must(t, d.Root.WriteFile("/lustre/y", nil, 0o644))
	must(t, d.Close())
}

func TestOpenRefuses(t *testing.T) {
	withEntry := func(line string) []part {
		return []part{{"size=100M", mkRoot, map[string]string{"etc/fstab": "UUID=" + rootID + " / ext4 defaults 0 1\n" + line}}}
	}
	for name, c := range map[string]struct {
		parts []part
		want  string
	}{
		"no fstab": {
			[]part{{esp, mkESP, nil}, {"size=100M", "mkfs.ext4 -q", nil}, {"size=1M", "", nil}},
			"no filesystem of the image has an /etc/fstab, by which its root is found; it has partition 1 with vfat, partition 2 with ext4, partition 3 with nothing known",
		},
		"encrypted": {
			[]part{{esp, mkESP, nil}, {"size=100M", "cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file=-", nil}},
			"partition 2 with crypto_LUKS (encrypted images are not supported)",
		},
		"two roots": {
			[]part{{"size=100M", "mkfs.ext4 -q", map[string]string{"etc/fstab": ""}}, {"size=100M", mkRoot, map[string]string{"etc/fstab": ""}}},
			"each of partition 1, partition 2 has an /etc/fstab",
		},
		"two subvolumes": {
			[]part{{"size=200M", "mkfs.btrfs -q", map[string]string{"@/etc/fstab": "", "@old/etc/fstab": ""}}},
			"each of partition 1 subvolume @, partition 1 subvolume @old has an /etc/fstab",
		},
		"a disk elsewhere as /var": {withEntry("/dev/sdb1 /var ext4 defaults 0 1\n"), "mount /var: /dev/sdb1 is another disk than the one that the system boots from; if it is"},
		"missing source":           {withEntry("UUID=1234-5678 /boot/efi vfat defaults 0 1\n"), "mount /boot/efi: fstab names UUID=1234-5678, but no partition of the image is that"},
		"LVM source":               {withEntry("/dev/mapper/vg-var /var ext4 defaults 0 1\n"), "mount /var: fstab names /dev/mapper/vg-var"},
		"not a folder":             {withEntry("UUID=" + rootID + " /etc/fstab ext4 defaults 0 1\n"), "mount /etc/fstab: mkdir /etc/fstab: not a directory"},
		"unmountable": {
			[]part{{"size=320M", "f() { mkfs.xfs -q $1; printf '\\377\\377' | dd of=$1 bs=1 seek=100 conv=notrunc status=none; }; f", nil}},
			"partition 1: mount the xfs filesystem on /dev/vda1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := build(t, "gpt", 512, c.parts)
			d, err := open(t, file)
			if err == nil || !strings.Contains(err.Error(), c.want) || d != nil {
				t.Errorf("want %q, got %v", c.want, err)
			}
			if found, _ := os.ReadDir("/dev"); slices.ContainsFunc(found, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), "vd") }) {
				t.Error("nodes stay in /dev")
			}
		})
	}
}

func TestOpenWithoutTable(t *testing.T) {
	file := build(t, "gpt", 512, nil)
	run(t, "", "mkfs.ext4", "-q", "-F", file.Name())
	if _, err := open(t, file); err == nil || !strings.Contains(err.Error(), "no partition table (it holds ext4)") {
		t.Errorf("got %v", err)
	}
}

// TestLookingForTheRootWritesNothing: an xfs that is sealed must stay as it is, but a journal is replayed.
func TestLookingForTheRootWritesNothing(t *testing.T) {
	file := build(t, "gpt", 512, []part{
		{"size=100M", "mkfs.ext4 -q", map[string]string{"etc/fstab": "PARTLABEL=root / ext4 defaults 0 1\n"}},
		{"size=320M", "mkfs.xfs -q", map[string]string{"a": "b"}},
	})
	p := readTable(t, file).Partitions
	run(t, "", "debugfs", "-w", "-R", "feature needs_recovery", fmt.Sprintf("%s?offset=%d", file.Name(), p[0].Start))
	sum := func() string {
		return run(t, "", "sh", "-c", fmt.Sprintf("tail -c +%d %s | head -c %d | sha256sum", p[1].Start+1, file.Name(), p[1].Size))
	}
	before := sum()
	d, err := open(t, file)
	must(t, err)
	if len(d.Mounts) != 1 || d.Mounts[0].Volume.Number != 1 {
		t.Errorf("mounted %v", d.Mounts)
	}
	must(t, d.Close())
	if sum() != before {
		t.Error("the xfs was written to")
	}
}

// TestLinksStayInside: mount points that are links must not lead onto the host.
func TestLinksStayInside(t *testing.T) {
	host := t.TempDir()
	file := build(t, "gpt", 512, []part{
		{"size=100M", mkRoot, map[string]string{
			"up": "->../../../../../../../.." + host, "abs": "->" + host, strings.TrimPrefix(host, "/") + "/x": "",
			"etc/fstab": noQuota + "/dev/sda2 /up ext4 defaults 0 2\n/dev/sda3 /abs/below ext4 defaults 0 2\n",
		}},
		{"size=100M", "mkfs.ext4 -q", nil},
		{"size=100M", "mkfs.ext4 -q", nil},
	})
	d, err := open(t, file)
	must(t, err)
	if entries, err := os.ReadDir(host); err != nil || len(entries) > 0 {
		t.Errorf("the host's folder holds %v, %v", entries, err)
	}
	must(t, d.Root.WriteFile("/up/second", nil, 0o644))
	if !d.Root.Exists(host + "/second") {
		t.Error("the filesystem is not mounted where the link leads inside the image")
	}
	must(t, d.Close())
}

func TestDevicesOfTheImageDoNotWork(t *testing.T) {
	file := build(t, "gpt", 512, []part{
		{"size=100M", mkRoot, map[string]string{"etc/fstab": noQuota}},
	})
	d, err := open(t, file)
	must(t, err)
	run(t, "", "mknod", d.Root.Dir()+"/null", "c", "1", "3")
	if _, err := os.ReadFile(d.Root.Dir() + "/null"); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("got %v", err)
	}
	must(t, d.Close())
}

// TestCheckReadsTheFile: what the kernel remembers of a device, as long as somebody has it open, is no proof.
func TestCheckReadsTheFile(t *testing.T) {
	l := layouts["plain"]
	file := build(t, l.label, l.sector, l.parts)
	d, err := open(t, file)
	must(t, err)
	must(t, d.Unmount())
	must(t, d.Check(t.Context()))
	part := d.Table.Partitions[1]
	for _, number := range []uint64{d.Own["vda2"], d.Nodes["vda2"]} { // devices that remember their beginning
		node := filepath.Join(t.TempDir(), "node")
		must(t, unix.Mknod(node, unix.S_IFBLK|0o600, int(number)))
		held, err := os.Open(node)
		must(t, err)
		defer held.Close()
		_, err = io.ReadFull(held, make([]byte, mib))
		must(t, err)
	}
	_, err = file.WriteAt(make([]byte, 64<<10), part.Start)
	must(t, err)
	if err := d.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "partition 2 has errors") {
		t.Errorf("got %v", err)
	}
}

func TestCheckFindsDamage(t *testing.T) {
	l := layouts["plain"]
	file := build(t, l.label, l.sector, l.parts)
	d, err := open(t, file)
	must(t, err)
	must(t, d.Unmount())
	must(t, d.Check(t.Context()))
	damage(t)
	if err := d.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "the filesystem of partition 2 has errors: e2fsck -fn /dev/image-vda2-read: exit status") {
		t.Errorf("got %v", err)
	}
	d.Mounts = d.Mounts[1:]
	var log bytes.Buffer
	old := slog.Default()
	defer slog.SetDefault(old)
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	must(t, d.Check(t.Context()))
	if !strings.Contains(log.String(), "partition 2 has errors") {
		t.Errorf("no warning of a damaged filesystem that was not mounted: %s", &log)
	}
	must(t, d.Close())
}

// damage overwrites the block group descriptors of the ext4 filesystem on partition 2.
func damage(t testing.TB) {
	t.Helper()
	l, err := os.OpenFile("/dev/image-vda2", os.O_RDWR, 0)
	must(t, err)
	defer l.Close()
	_, err = l.WriteAt(bytes.Repeat([]byte{0xa5}, 64), 4096)
	must(t, err)
}
