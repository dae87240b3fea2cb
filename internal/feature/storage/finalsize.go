package storage

import (
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// FinalSize is the size of the disk, in bytes, after a plan; what grows on demand does by whole MiB.
func FinalSize(p plan.Plan, f *machine.Facts) int64 {
	size := f.DiskSize
	for _, s := range p {
		switch s := s.(type) {
		case NewDisk:
			size = s.Layout.Size
		case ExtendDisk:
			size = s.Layout.Size
		case GrowDisk:
			if s.Size > 0 {
				size += feature.WholeMiB(s.Size) - feature.WholeMiB(size)
			}
		}
	}
	return size
}

// FinalPartitions are the numbers of the partitions after a plan, of a disk that has these.
func FinalPartitions(p plan.Plan, partitions []disk.Partition) (numbers []int) {
	for _, s := range p {
		switch s := s.(type) {
		case NewDisk:
			partitions = s.Layout.Table.Partitions
		case ExtendDisk:
			partitions = s.Layout.Table.Partitions
		}
	}
	for _, x := range partitions {
		numbers = append(numbers, x.Number)
	}
	return numbers
}
