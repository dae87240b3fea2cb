package disk

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someUUID = "0a1b2c3d-1111-4222-8333-444455556666"

// blkid probes a file with blkid.
func blkid(t testing.TB, name string) (c Content) {
	t.Helper()
	block := 0
	for line := range strings.Lines(run(t, "blkid", "-p", "-o", "export", name)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch value = strings.ReplaceAll(value, `\ `, " "); key {
		case "TYPE":
			c.Type = value
		case "UUID":
			c.UUID = value
		case "LABEL":
			c.Label = value
		case "BLOCK_SIZE":
			block, _ = strconv.Atoi(value)
		}
	}
	if strings.HasPrefix(c.Type, "ext") || c.Type == "xfs" {
		c.Block = block
	}
	return c
}

func probeFile(t testing.TB, name string) Content {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return Probe(f)
}

// TestContentsAsBlkidReadsThem formats plain files; FILE stands for the file and DIR for a folder.
func TestContentsAsBlkidReadsThem(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]string{
		"ext2":               "mkfs.ext2 -q -L my_root -U " + someUUID + " FILE",
		"ext3":               "mkfs.ext3 -q FILE",
		"ext4":               "mkfs.ext4 -q -L sixteen_letters_ FILE",
		"ext4 no journal":    "mkfs.ext4 -q -O ^has_journal FILE",
		"jbd":                "mke2fs -q -O journal_dev FILE",
		"xfs":                "mkfs.xfs -q -L twelvechars_ FILE",
		"xfs big sectors":    "mkfs.xfs -q -s size=4096 FILE",
		"ext4 big blocks":    "mkfs.ext4 -q -b 4096 FILE",
		"btrfs":              "mkfs.btrfs -q -L label FILE",
		"vfat 12":            "truncate -s 8M FILE; mkfs.vfat -F 12 -n MY_ESP FILE",
		"vfat 16":            "mkfs.vfat -F 16 -i 0a0b0c0d FILE",
		"vfat 32":            "mkfs.vfat -F 32 -s 1 -n MY_ESP2 FILE",
		"vfat big sectors":   "mkfs.vfat -S 4096 -n BIG FILE",
		"vfat label in root": "mkfs.vfat -n FIRST FILE; mlabel -i FILE ::SECOND",
		"vfat label deleted": "mkfs.vfat -F 32 -s 1 -n FIRST FILE; mlabel -i FILE -c ::",
		"swap":               "mkswap -q -L my_swap FILE",
		"swap big pages":     "mkswap -q --pagesize 16384 FILE",
		"crypto_LUKS 1":      "cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 FILE DIR/key",
		"crypto_LUKS 2":      "cryptsetup luksFormat -q --type luks2 --label my_label --pbkdf pbkdf2 --pbkdf-force-iterations 1000 FILE DIR/key",
		"DM_verity_hash":     "truncate -s 8M DIR/data; veritysetup format DIR/data FILE",
		"squashfs":           "mksquashfs DIR FILE -noappend -quiet",
		"erofs":              "mkfs.erofs -U " + someUUID + " FILE DIR",
		"iso9660":            "xorriso -as mkisofs -quiet -V MY_ISO -o FILE DIR",
		"":                   "true",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := blank(t, 320*mib)
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "key"), []byte("passphrase"), 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, "sh", "-ec", "("+strings.NewReplacer("FILE", file, "DIR", dir).Replace(command)+") >&2")
			got := probeFile(t, file)
			if want, _, _ := strings.Cut(name, " "); got.Type != want {
				t.Errorf("type %q", got.Type)
			}
			if name == "" {
				return
			}
			if diff := cmp.Diff(blkid(t, file), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestLVM writes the label of a physical volume by hand (lvm2, lib/format_text/layout.h), since
// pvcreate works on devices only. blkid checks its checksum.
func TestLVM(t *testing.T) {
	t.Parallel()
	file := blank(t, 8*mib)
	label := make([]byte, 512)
	copy(label, "LABELONE")
	binary.LittleEndian.PutUint64(label[8:], 1) // own sector
	binary.LittleEndian.PutUint32(label[20:], 32)
	copy(label[24:], "LVM2 001")
	copy(label[32:], "abcdefGHIJKLmnopQRSTuvwxYZ012345")
	binary.LittleEndian.PutUint32(label[16:], lvmChecksum(label[20:]))
	d := readFile(t, file)
	copy(d[512:], label)
	if err := os.WriteFile(file, d, 0o600); err != nil {
		t.Fatal(err)
	}
	want := blkid(t, file)
	if diff := cmp.Diff(want, Probe(bytes.NewReader(d))); diff != "" || want.Type != "LVM2_member" {
		t.Error(want, diff)
	}
}

// lvmChecksum is CRC-32 without the final inversion, from the start value that LVM uses.
func lvmChecksum(b []byte) uint32 {
	crc := uint32(0xf597a6cf)
	for _, x := range b {
		crc ^= uint32(x)
		for range 8 {
			crc = crc>>1 ^ 0xedb88320&-(crc&1)
		}
	}
	return crc
}

func FuzzProbe(f *testing.F) {
	for _, command := range []string{"mkfs.vfat -F 32 -s 1 FILE", "mkfs.vfat FILE", "mkfs.ext2 -q FILE", "mkswap -q FILE"} {
		file := blank(f, 40*mib)
		run(f, "sh", "-ec", strings.ReplaceAll(command, "FILE", file))
		f.Add(readFile(f, file)[:8192])
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		c := Probe(ends{head: head, size: max(int64(len(head)), mib)})
		if c.Type == "" && (c.UUID != "" || c.Label != "") {
			t.Errorf("%+v", c)
		}
	})
}
