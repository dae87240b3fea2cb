package verify

import (
	"encoding/binary"
	"io"

	"imagecustomizer/internal/disk"
)

// Table checks the partition table alone, of a disk that was cut when all else had been checked.
func Table(r io.ReaderAt, size int64) []Finding {
	s, found := &system{Image: Image{Disk: r, Size: size}}, newList("partition table")
	s.readDisk()
	partitionTable(s, found)
	return found.all()
}

// partitionTable checks the GPT against its backup, which must end the disk.
func partitionTable(s *system, found *list) {
	if s.tableErr != nil {
		found.at("partition table", 0, "%v", s.tableErr)
		return
	}
	for _, w := range s.table.Warnings {
		found.at("partition table", 0, "%s", w)
		found.hint("\"sgdisk --verify\" and \"sgdisk --move-second-header\" examine and mend it")
	}
	if s.table.Kind == "gpt" && len(s.table.Warnings) == 0 {
		s.backup(found)
	}
	s.duplicates(found)
}

// backup checks that the backup GPT lies in the last sector, where whatever looks for it looks. The
// place is in the header (UEFI specification 2.10, 5.3.2).
func (s *system) backup(found *list) {
	sector := int64(s.table.SectorSize)
	header := make([]byte, 40)
	if _, err := s.Disk.ReadAt(header, sector); err != nil {
		return // no warning of it above: cannot be
	}
	if at, last := int64(binary.LittleEndian.Uint64(header[32:])), s.Size/sector-1; at != last {
		found.at("partition table", 0, "the backup GPT lies at sector %d, but the disk ends with sector %d", at, last)
		found.hint("\"sgdisk --move-second-header\" moves it")
	}
}

// duplicates finds partitions that nobody can tell apart.
func (s *system) duplicates(found *list) {
	uuids, parts := map[string]int{}, map[string]int{}
	for _, v := range s.Volumes {
		for _, known := range []struct {
			seen map[string]int
			kind string
			uuid string
		}{{uuids, "UUID", v.Content.UUID}, {parts, "PARTUUID", v.Partition.UUID}} {
			if first := known.seen[known.uuid]; first > 0 && known.uuid != "" && v.Content.Type != "btrfs" {
				found.at("partition table", 0, "partitions %d and %d have the same %s, %s", first, v.Number, known.kind, known.uuid)
			}
			known.seen[known.uuid] = v.Number
		}
	}
}

// readDisk reads the partition table and what the partitions hold as they are now.
func (s *system) readDisk() {
	if s.table, s.tableErr = disk.ReadTable(s.Disk, s.Size); s.tableErr != nil {
		s.table = &disk.Table{}
		return
	}
	s.Volumes = disk.Volumes(s.Disk, s.table)
}
