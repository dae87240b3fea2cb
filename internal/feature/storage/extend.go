package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// extend lets a layout keep the partitions of the image's disk where it only grows them or adds others
// behind them: their identifiers are those that they have then.
func (s *Storage) extend(l *disk.Layout, f *machine.Facts) {
	if err := s.extends(l, f); err != nil {
		slog.Debug("the system is copied to a new disk", "because", err)
		return
	}
	l.Kept, l.Table.ID = len(f.Volumes), ""
	for i, v := range f.Volumes {
		l.Table.Partitions[i].UUID, l.Table.Partitions[i].Name = v.Partition.UUID, v.Name
		l.Table.Partitions[i].Attributes = v.Attributes
	}
	for i, format := range l.Filesystems {
		if format.Partition <= l.Kept {
			l.Filesystems[i].UUID = f.Volumes[format.Partition-1].Content.UUID
		}
	}
	l.Mounts, l.Swaps = nil, nil
	s.layoutMounts(l)
}

// extends returns what a layout asks for besides growing or adding to the disk of the image, or nil.
func (s *Storage) extends(l *disk.Layout, f *machine.Facts) error {
	switch {
	case len(f.Sealed)+len(s.Verity) > 0:
		return errors.New("filesystems are or were sealed by dm-verity")
	case l.Size < f.DiskSize:
		return errors.New("the disk becomes smaller")
	case len(f.Volumes) == 0 || len(f.Volumes) > len(l.Table.Partitions):
		return errors.New("there are fewer partitions than before")
	}
	for i, v := range f.Volumes {
		if err := s.keeps(v, i+1, l, f); err != nil {
			return fmt.Errorf("partition %d: %w", v.Number, err)
		}
	}
	for _, format := range l.Filesystems {
		if format.Partition > len(f.Volumes) && format.Type == "vfat" {
			return fmt.Errorf("partition %d, a new one, holds a FAT filesystem", format.Partition)
		}
	}
	return nil
}

// keeps returns in what a partition of the layout differs from one of the image but in size, or nil.
func (s *Storage) keeps(v disk.Volume, number int, l *disk.Layout, f *machine.Facts) error {
	p, format := l.Partition(number), l.Format(number)
	switch {
	case strings.HasPrefix(v.Partition.Type, "0x"):
		return errors.New("the disk has an MBR")
	case v.Number != number:
		return errors.New("it is not numbered in the order of the disk")
	case v.Start != p.Start:
		return fmt.Errorf("it begins at %v instead of %v", config.Size(p.Start), config.Size(v.Start))
	case v.Size > p.Size:
		return errors.New("it becomes smaller")
	case v.Size < p.Size && !disk.CanGrow(v.Content.Type):
		return fmt.Errorf("its %s cannot be grown", v.Content.Type)
	case !strings.EqualFold(v.Partition.Type, p.Type):
		return errors.New("it has another type")
	case p.Name != "" && p.Name != v.Name:
		return errors.New("it has another label")
	case format.Type != v.Content.Type:
		return fmt.Errorf("it holds %q instead of %q", format.Type, v.Content.Type)
	case slices.ContainsFunc(format.Subvolumes, func(v disk.Subvolume) bool { return v.Referenced+v.Exclusive > 0 }):
		return errors.New("its subvolumes get quotas")
	}
	return sameMounts(format, number, l, f)
}

// sameMounts returns an error where a partition is mounted elsewhere, or has subvolumes that are not
// mounted: whether it has those already is not known.
func sameMounts(format disk.Format, number int, l *disk.Layout, f *machine.Facts) error {
	var was, is, made []string
	for _, fs := range f.Filesystems {
		if fs.Partition == number {
			was = append(was, fs.MountPoint+" "+strings.Trim(fs.Subvolume, "/"))
		}
	}
	for _, m := range l.Mounts {
		if m.Partition == number {
			is, made = append(is, m.Entry.Target+" "+m.Subvolume), append(made, m.Subvolume)
		}
	}
	slices.Sort(was)
	slices.Sort(is)
	if v := f.Volumes[number-1]; len(was) == 0 && v.Size < l.Partition(number).Size {
		return errors.New("it is to grow, but is not mounted")
	}
	if !slices.Equal(was, is) {
		return fmt.Errorf("it is mounted at %q instead of %q", is, was)
	}
	for _, v := range format.Subvolumes {
		if !slices.Contains(made, v.Path) {
			return fmt.Errorf("its subvolume %s is not mounted", v.Path)
		}
	}
	return nil
}

// ExtendDisk changes the disk of the image in place: partitions grow, others are added behind them, and
// what belongs to a new filesystem moves into it.
type ExtendDisk struct{ NewDisk }

func (s ExtendDisk) String() string {
	return fmt.Sprintf("change the disk in place, to %v: %s", config.Size(s.Layout.Size), s.parts())
}

// Run changes the disk and writes the new /etc/fstab.
func (s ExtendDisk) Run(ctx context.Context, m *machine.Machine) error {
	if err := s.NewDisk.Run(ctx, m); err != nil {
		return err
	}
	return m.Reopen(ctx) // with what fstab mounts now
}

// mountsNew tells whether a plan makes filesystems that are mounted at boot.
func mountsNew(p plan.Plan) bool {
	for _, s := range p {
		switch d := s.(type) {
		case NewDisk:
			return true
		case ExtendDisk:
			return slices.ContainsFunc(d.Layout.Mounts, func(m disk.LayoutMount) bool { return m.Partition > d.Layout.Kept })
		}
	}
	return false
}
