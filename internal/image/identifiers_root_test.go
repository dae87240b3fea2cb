//go:build root

package image

import (
	"strings"
	"testing"

	"imagecustomizer/internal/disk"
)

// TestSetIdentifiers gives a disk with every kind of content other identifiers, of which blkid and
// sfdisk must say that they are there. Content, places and names stay.
func TestSetIdentifiers(t *testing.T) {
	files := someFiles()
	setIdentifiers(t, 512, []part{
		{"size=1M, type=21686148-6449-6E6F-744E-656564454649, attrs=LegacyBIOSBootable", "", nil},
		{esp, mkESP, bootFiles},
		{"size=64M", "mkfs.ext2 -q", files},
		{"size=64M, name=third", "mkfs.ext3 -q", files},
		{"size=64M", "mkfs.ext4 -q -O metadata_csum,^metadata_csum_seed -L four", files},
		{"size=320M", "mkfs.xfs -q", files},
		{"size=320M", "mkfs.btrfs -q", files},
		{"size=20M, type=swap", "mkswap -q", nil},
		{"size=20M", "", nil},
	})
	setIdentifiers(t, 4096, []part{
		{"size=280M, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "mkfs.vfat -F 32 -s 1 -S 4096 -i 0A1B2C3D", bootFiles},
		{"size=64M", "mkfs.ext4 -q -O metadata_csum,^metadata_csum_seed,orphan_file", files},
	})
}

func setIdentifiers(t *testing.T, sector int, parts []part) {
	f := build(t, "gpt", sector, parts)
	before := readTable(t, f)
	ids := disk.Identifiers{Disk: "0a1b2c3d-1111-4222-8333-4444555500ff", Partitions: map[int]disk.Identifier{}}
	volumes, sums := disk.Volumes(f, before), map[int]string{}
	for _, v := range volumes {
		id := disk.Identifier{Partition: "0a1b2c3d-1111-4222-8333-44445555000" + string(rune('0'+v.Number))}
		switch v.Content.Type {
		case "":
		case "vfat":
			id.Content = "ABCD-0102"
		default:
			id.Content = strings.Replace(id.Partition, "1111", "2222", 1)
		}
		ids.Partitions[v.Number] = id
		if v.Content.Type != "" && v.Content.Type != "swap" && v.Content.Type != "vfat" {
			sums[v.Number] = listing(t, f, v.Number)
		}
	}
	must(t, SetIdentifiers(t.Context(), f, ids))
	if table := readTable(t, f); table.ID != ids.Disk || table.Damaged {
		t.Errorf("the table: %+v", table)
	}
	if sfdisk := strings.ToLower(run(t, "", "sfdisk", "--dump", f.Name())); sector == 512 && (!strings.Contains(sfdisk, "label-id: "+ids.Disk) ||
		strings.Count(sfdisk, "uuid=0a1b2c3d-1111-4222-8333-44445555000") != len(volumes) || !strings.Contains(sfdisk, `attrs="legacybiosbootable"`)) {
		t.Error(sfdisk)
	}
	d, err := Attach(f)
	must(t, err)
	must(t, d.Check(t.Context()))
	for i, v := range d.Volumes {
		was, id := volumes[i], ids.Partitions[v.Number]
		if v.Content.UUID != id.Content || v.Partition.UUID != id.Partition || v.Start != was.Start || v.Size != was.Size || v.Name != was.Name || v.Label != was.Label {
			t.Errorf("partition %+v was %+v", v, was)
		}
		if id.Content != "" {
			if got := strings.TrimSpace(run(t, "", "blkid", "-p", "-o", "value", "-s", "UUID", d.device(v.Number))); got != id.Content {
				t.Errorf("partition %d, %s: blkid says %s, want %s", v.Number, v.Content.Type, got, id.Content)
			}
		}
	}
	must(t, d.Close())
	for n, sum := range sums {
		if got := listing(t, f, n); got != sum || got == "" {
			t.Errorf("partition %d holds other files", n)
		}
	}
}
