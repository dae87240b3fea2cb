package disk

import (
	"context"
	"slices"

	"imagecustomizer/internal/hostcmd"
)

// CanGrow tells whether a filesystem can be grown.
func CanGrow(fstype string) bool {
	return slices.Contains([]string{"ext2", "ext3", "ext4", "xfs", "btrfs"}, fstype)
}

// GrowMounted grows the filesystem mounted at dir to the size of its device, where its kind is grown
// while it is mounted. xfs_growfs looks the device up by the name that it was mounted by.
func GrowMounted(ctx context.Context, fstype, device, dir string) error {
	grow := func(c *hostcmd.Cmd) error {
		c.Dir = dir // a path of this process, not of others
		return c.Run(ctx)
	}
	switch fstype {
	case "xfs":
		return underMountName(device, func(string) error { return grow(hostcmd.New("xfs_growfs", ".").Reading("/dev", dir)) })
	case "btrfs":
		return grow(hostcmd.New("btrfs", "filesystem", "resize", "max", ".").Writing(dir))
	}
	return nil
}

// Idle is how much lies unused, in whole MiB, between the last partition and the backup of the table of a
// disk of that size.
func (t *Table) Idle(size int64) int64 {
	const entries = 128 << 10 // more than any program makes of them takes
	end := size - int64(t.SectorSize) - entries
	for _, p := range t.Partitions {
		end = min(end, size-p.Start-p.Size-int64(t.SectorSize)-entries)
	}
	return max(0, end>>20<<20)
}

// GrowPartition makes a partition of the table larger by some bytes, and returns
// the partitions that move to make room, the last first, as they were.
func (t *Table) GrowPartition(number int, by int64) (moved []Partition) {
	i := slices.IndexFunc(t.Partitions, func(p Partition) bool { return p.Number == number })
	if i < 0 {
		return nil
	}
	t.Partitions[i].Size += by
	for j := len(t.Partitions) - 1; j > i; j-- {
		moved = append(moved, t.Partitions[j])
		t.Partitions[j].Start += by
	}
	return moved
}
