package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// ResizeDisk says how much larger the disk is to become, and which filesystem gets what is added.
type ResizeDisk struct {
	FreeSpace  config.Size `yaml:"freeSpace" doc:"Grow until this much is free in the filesystem. Either this or size." example:"2G"`
	Size       config.Size `yaml:"size" doc:"New size of the disk."`
	MountPoint string      `yaml:"mountPoint" default:"/" doc:"Where the filesystem to grow is mounted. It need not be the last of the disk: partitions behind it move."`

	Auto bool `yaml:"-"` // grow the root where packages do not fit
}

// resizeAuto is what stands in the place of the mapping.
type resizeAuto string

// Values lists it.
func (resizeAuto) Values() []string { return []string{"auto"} }

// resizeFields is a ResizeDisk written as a mapping.
type resizeFields ResizeDisk

// Forms are the ways to write it.
func (ResizeDisk) Forms() []reflect.Type {
	return []reflect.Type{reflect.TypeFor[resizeAuto](), reflect.TypeFor[resizeFields]()}
}

// UnmarshalConfig takes a mapping, or "auto".
func (r *ResizeDisk) UnmarshalConfig(n *config.Node) {
	if n.Kind() == config.Text {
		r.Auto = n.Text() == "auto"
		if !r.Auto {
			n.At().Errorf("%q is neither auto nor a mapping", n.Text()).Hint("write auto, or a mapping with freeSpace or size")
		}
		return
	}
	n.Decode((*resizeFields)(r))
	if at := n.At(); n.Kind() == config.Map && !at.FormOnly() && at.Has("freeSpace") == at.Has("size") {
		at.Errorf("resizeDisk needs either freeSpace or size").Hint("write one of them, such as \"freeSpace: 2G\"")
	}
}

// Resize is the growing of a disk that a config asks for.
type Resize struct{ *Storage }

// Used tells whether it does.
func (r Resize) Used() bool { return r.ResizeDisk != nil }

// Touches is nothing in the image.
func (Resize) Touches() []feature.Touch { return nil }

// Record is nothing: the history of the reference has no storage.
func (Resize) Record() (any, error) { return nil, nil }

// Plan grows a filesystem, unless packages tell how much.
func (r Resize) Plan(g *feature.Given) (plan.Plan, []plan.Problem) { return r.ResizeDisk.plan(g.Facts) }

func (r *ResizeDisk) plan(f *machine.Facts) (plan.Plan, []plan.Problem) {
	s := GrowDisk{FreeSpace: int64(r.FreeSpace), Size: int64(r.Size), MountPoint: r.MountPoint}
	switch {
	case r.Auto:
		s.MountPoint = f.FilesystemOf("/usr").MountPoint
	case s.MountPoint == "":
		s.MountPoint = "/"
	}
	i := slices.IndexFunc(f.Filesystems, func(fs machine.Filesystem) bool { return fs.MountPoint == s.MountPoint })
	if i < 0 {
		return nil, s.problem("no filesystem of the image is mounted at %s", s.MountPoint)
	}
	fs := f.Filesystems[i]
	s.Partition = fs.Partition
	switch {
	case !disk.CanGrow(fs.Type):
		return nil, s.problem("the filesystem at %s is a %s, which cannot be grown", s.MountPoint, fs.Type)
	case fs.Kept:
		return nil, s.problem("the filesystem at %s is sealed by dm-verity", s.MountPoint)
	}
	behind := f.Volumes[1+slices.IndexFunc(f.Volumes, func(v disk.Volume) bool { return v.Number == s.Partition }):]
	for _, v := range behind {
		if v.Partition.Type == disk.TypeBIOSBoot {
			return nil, s.problem("partition %d, which holds the boot loader and lies behind that of %s, cannot be moved", v.Number, s.MountPoint)
		}
	}
	if r.Auto {
		return nil, nil // while packages are installed
	}
	return plan.Plan{s}, nil
}

// Free is what a filesystem has free when it is as large as it is to be, at most.
func (r *ResizeDisk) Free(fs machine.Filesystem, f *machine.Facts) uint64 {
	switch {
	case r == nil || r.Auto || cmp.Or(r.MountPoint, "/") != fs.MountPoint:
		return fs.Free
	case r.FreeSpace > 0:
		return max(fs.Free, uint64(r.FreeSpace))
	}
	return fs.Free + uint64(max(0, int64(r.Size)-f.DiskSize))
}

// GrowDisk makes the disk larger, and a filesystem on it.
type GrowDisk struct {
	FreeSpace, Size int64
	MountPoint      string
	Partition       int
}

// Name identifies the step.
func (GrowDisk) Name() string { return "storage.resize" }

// Stage is the part of the run that it belongs to.
func (GrowDisk) Stage() plan.Stage { return plan.Disk }

func (s GrowDisk) String() string {
	if s.Size > 0 {
		return fmt.Sprintf("grow the disk to %d MiB, for the filesystem at %s", s.Size>>20, s.MountPoint)
	}
	return fmt.Sprintf("grow the filesystem at %s, and the disk, until %d MiB are free", s.MountPoint, s.FreeSpace>>20)
}

func (s GrowDisk) problem(format string, args ...any) []plan.Problem {
	return []plan.Problem{{Step: s.Name(), Text: fmt.Sprintf(format, args...)}}
}

// Check compares the size with that of the disk, and looks for a partition table that can be changed.
func (s GrowDisk) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	table, size, err := tableOf(m)
	switch {
	case err != nil:
		return s.problem("%v", err)
	case table.Kind != "gpt":
		return s.problem("the image has an MBR; only a disk with a GPT can be grown")
	case s.Size > 0 && s.Size < size:
		return s.problem("the disk has %d MiB already; storage.shrink makes it smaller", size>>20)
	}
	return nil
}

func tableOf(m *machine.Machine) (*disk.Table, int64, error) {
	fi, err := m.Disk.Stat()
	if err != nil {
		return nil, 0, err
	}
	table, err := disk.ReadTable(m.Disk, fi.Size())
	return table, fi.Size(), err
}

// Run grows.
func (s GrowDisk) Run(ctx context.Context, m *machine.Machine) error {
	if s.Size > 0 {
		table, size, err := tableOf(m)
		if err != nil {
			return err
		}
		by := feature.WholeMiB(s.Size) - feature.WholeMiB(size) + table.Idle(size) // what lies idle is filled too
		if by == 0 {
			return nil
		}
		return m.Grow(ctx, s.Partition, by)
	}
	for range feature.GrowTries {
		_, free, err := m.Space(s.MountPoint)
		missing := s.FreeSpace - int64(free)
		if err != nil || missing <= 0 {
			return err
		}
		if err := m.Grow(ctx, s.Partition, feature.WithTables(missing)); err != nil {
			return err
		}
	}
	return errors.New("the filesystem does not get as much free space as it is given")
}
