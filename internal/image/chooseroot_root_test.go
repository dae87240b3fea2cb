//go:build root

package image

import (
	"os"
	"strings"
	"testing"

	"imagecustomizer/internal/disk"
)

const (
	rootLine = "UUID=" + rootID + " / btrfs subvol=root,compress=zstd:1 0 0\n"
	mkBtrfs  = "mkfs.btrfs -q -U " + rootID
)

// TestRootAmongOthers: a btrfs in which more than one subvolume has an fstab.
func TestRootAmongOthers(t *testing.T) {
	create := "subvol() { btrfs -q subvolume create $1; mkdir $1/etc; printf '%s' \"$2\" >$1/etc/fstab; }; "
	for name, c := range map[string]struct{ script, want string }{
		"a snapshot": {
			"subvol root '" + rootLine + "'; mkdir -p snapshots/1; btrfs -q subvolume snapshot root snapshots/1/root", "1 /root",
		},
		"a read-only snapshot": {
			"subvol root ''; mkdir -p snapshots/1; btrfs -q subvolume snapshot -r root snapshots/1/root", "1 /root",
		},
		"a container and a machine": {
			"subvol root '" + rootLine + "'; mkdir -p root/var/lib/machines; subvol root/var/lib/machines/deb ''; subvol docker '# UNCONFIGURED FSTAB\n'", "1 /root",
		},
		"timeshift": {
			"subvol @ '" + strings.Replace(rootLine, "=root", "=@", 1) + "'; mkdir -p timeshift-btrfs/snapshots/1; btrfs -q subvolume snapshot @ timeshift-btrfs/snapshots/1/@", "1 /@",
		},
		"snapper, by the default subvolume": {
			"subvol @ ''; rm @/etc/fstab; mkdir -p @/.snapshots/1 @/.snapshots/2; subvol @/.snapshots/1/snapshot 'UUID=" + rootID + " / btrfs defaults 0 0\n'; " +
				"btrfs -q subvolume snapshot @/.snapshots/1/snapshot @/.snapshots/2/snapshot; btrfs subvolume set-default @/.snapshots/1/snapshot", "1 /@/.snapshots/1/snapshot",
		},
		"the default subvolume without any line": {
			"subvol a ''; subvol b ''; btrfs subvolume set-default b", "1 /b",
		},
		"a boot entry": {
			"subvol a ''; subvol b ''; mkdir -p a/boot/grub b/boot; echo 'linux /boot/vmlinuz root=UUID=" + rootID + " ro rootflags=subvol=b' >a/boot/grub/grub.cfg", "1 /b",
		},
		"by number": {
			"subvol a 'UUID=" + rootID + " / btrfs subvolid=257 0 0\n'; btrfs -q subvolume snapshot a b", "1 /b",
		},
		"nothing": {"subvol a ''; subvol b ''", "each of partition 1 subvolume a, partition 1 subvolume b has an /etc/fstab; say which with --root-device"},
	} {
		t.Run(name, func(t *testing.T) {
			file := build(t, "gpt", 512, []part{{"size=200M", mkBtrfs, nil}})
			inside(t, file, create+c.script)
			if got := opened(t, file, Choice{}); !strings.HasPrefix(got, c.want) && !strings.Contains(got, c.want) {
				t.Errorf("got %s instead of %s", got, c.want)
			}
		})
	}
}

// inside runs a script in the filesystem of the first partition.
func inside(t *testing.T, file *os.File, script string) {
	t.Helper()
	d, err := Attach(file)
	must(t, err)
	dir := t.TempDir()
	must(t, disk.MountVolume(d.device(1), dir, "btrfs", "subvol=/", false))
	run(t, "", "sh", "-ec", "cd "+dir+"; { "+script+"\n} >&2")
	must(t, disk.Unmount(dir))
	must(t, d.Close())
}

// opened is the root of a disk: its partition and subvolume; or the error.
func opened(t *testing.T, file *os.File, root Choice) string {
	t.Helper()
	d, err := Open(t.Context(), file, t.TempDir(), root)
	if err != nil {
		return err.Error()
	}
	is := d.Chosen()
	must(t, d.Close())
	return is.Device + " " + is.Subvolume
}

// TestChosenRoot names the root of an image with two systems, which nothing tells apart.
func TestChosenRoot(t *testing.T) {
	file := build(t, "gpt", 512, []part{
		{"size=200M", mkBtrfs, map[string]string{"@a/etc/fstab": "", "@b/etc/fstab": ""}},
		{"size=100M", "mkfs.ext4 -q -L other", map[string]string{"etc/fstab": ""}},
		{"size=100M", "mkfs.ext4 -q", map[string]string{"etc/os-release": ""}},
	})
	for root, want := range map[Choice]string{
		{}:                              "each of partition 1 subvolume @a, partition 1 subvolume @b, partition 2 has",
		{Device: "2"}:                   "2 ",
		{Device: "LABEL=other"}:         "2 ",
		{Device: "1"}:                   "which was named as the root, is each of partition 1 subvolume @a, partition 1 subvolume @b",
		{Device: "1", Subvolume: "/@b"}: "1 /@b",
		{Subvolume: "@a"}:               "1 /@a",
		{Device: "UUID=" + rootID, Subvolume: "@b"}: "1 /@b",
		{Device: "3"}:          "3 ",
		{Device: "LABEL=none"}: "LABEL=none, which was named as the root, is none of partition 1 subvolume @a, ",
		{Subvolume: "@c"}:      "is none of",
	} {
		if got := opened(t, file, root); got != want && !(len(want) > 6 && strings.Contains(got, want)) {
			t.Errorf("%+v: got %s instead of %s", root, got, want)
		}
	}
}

// TestRootByBootEntries: of two systems that both name themselves, the one that is booted.
func TestRootByBootEntries(t *testing.T) {
	file := build(t, "gpt", 512, []part{
		{"size=100M", "mkfs.ext4 -q -L a", map[string]string{"etc/fstab": "LABEL=a / ext4 defaults 0 1\n"}},
		{"size=100M", "mkfs.ext4 -q -L b", map[string]string{"etc/fstab": "LABEL=b / ext4 defaults 0 1\n"}},
		{"size=100M", "mkfs.ext4 -q", map[string]string{"loader/entries/x.conf": "options root=LABEL=b ro\n"}},
	})
	if got := opened(t, file, Choice{}); got != "2 " {
		t.Errorf("got %s", got)
	}
}
