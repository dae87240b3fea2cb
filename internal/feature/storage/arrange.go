package storage

import (
	"fmt"

	"imagecustomizer/internal/config"
)

// span is where a partition lies, in bytes.
type span struct{ start, end config.Size }

// arrangeProblem is a reason why partitions cannot lie as asked.
type arrangeProblem struct {
	partition  int // -1 for the disk
	key        string
	text, hint string
}

// reserved is kept free at both ends of a disk for the partition table and its backup.
const reserved = config.Size(config.MiB)

const endAndSize = "end and size exclude each other"

// arrange works out where every partition lies and how large the disk is.
func (d Disk) arrange() (spans []span, size config.Size, problems []arrangeProblem) {
	problem := func(i int, key, hint, format string, args ...any) {
		problems = append(problems, arrangeProblem{i, key, fmt.Sprintf(format, args...), hint})
	}
	limit := d.MaxSize - reserved
	at := reserved
	for i, p := range d.Partitions {
		s := span{start: at}
		if p.Start != 0 {
			s.start = p.Start
		}
		open := p.End == 0 && p.Size.Bytes == 0
		switch {
		case p.End != 0 && (p.Size.Bytes != 0 || p.Size.Grow):
			problem(i, "end", "keep one of them", endAndSize)
		case p.Size.Grow && i < len(d.Partitions)-1:
			problem(i, "size", "give it a size", "the partition %q is not the last one, and cannot grow", p.ID)
		case open && i < len(d.Partitions)-1:
			problem(i, "size", "only the last partition can fill the disk", "the partition %q has neither size nor end", p.ID)
		case open && d.MaxSize == 0:
			problem(i, "size", "give the disk a maxSize, or the partition a size", "the partition %q is to fill the disk, whose size is not known", p.ID)
		case open:
			s.end = limit
		case p.End != 0:
			s.end = p.End
		default:
			s.end = s.start + p.Size.Bytes
		}
		switch {
		case s.start < reserved:
			problem(i, "start", "begin at 1M or later", "the partition %q begins in the first MiB, which holds the partition table", p.ID)
		case s.start < at:
			problem(i, "start", "partitions are listed in the order of the disk", "the partition %q begins at %v, before the end of the one before it at %v", p.ID, s.start, at)
		case s.end != 0 && s.end <= s.start:
			problem(i, "end", "", "the partition %q ends at %v, but begins at %v", p.ID, s.end, s.start)
		case p.is("bios-grub") && s.start != reserved:
			problem(i, "start", "make it the first partition", "the partition %q is a bios-grub, which begins at 1M and nowhere else", p.ID)
		}
		at = max(at, s.end, s.start)
		spans = append(spans, s)
	}
	switch {
	case d.MaxSize == 0:
		return spans, at + reserved, problems
	case at > limit && len(problems) == 0:
		problem(-1, "maxSize", fmt.Sprintf("it must be %v at least: the partitions, and 1 MiB for the backup of their table", at+reserved), "the partitions end at %v, which does not fit into %v", at, d.MaxSize)
	}
	return spans, d.MaxSize, problems
}
