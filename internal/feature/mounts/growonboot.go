package mounts

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/plan"
)

// GrowOnBoot has the last filesystem take what a larger disk has, when the system starts.
type GrowOnBoot bool

// Used tells whether it is asked for.
func (g GrowOnBoot) Used() bool { return bool(g) }

// Touches are the files that say so.
func (GrowOnBoot) Touches() []feature.Touch {
	return []feature.Touch{{Path: repartDir}, {Path: feature.Fstab}}
}

// Plan has it done, on the disk that there is by then.
func (GrowOnBoot) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	return plan.Plan{SetGrowOnBoot{g.NewDisk, g.SealedRoot}}, nil
}

// Record is that it is asked for.
func (g GrowOnBoot) Record() (any, error) { return feature.RecordIf(g.Used(), true) }

// The files by which systemd-repart grows a partition, and repartPrefix of ours among them.
const (
	repartDir    = "/etc/repart.d"
	repartPrefix = "50-grow-"
	growOption   = "x-systemd.growfs"
)

// repartDirs are where systemd-repart looks for what partitions there should be.
var repartDirs = []string{repartDir, "/usr/lib/repart.d", "/usr/local/lib/repart.d"}

// growable are filesystems that systemd-growfs makes larger while they are mounted.
var growable = []string{"ext4", "xfs", "btrfs"}

// SetGrowOnBoot has systemd grow the last partition of the disk, and the filesystem in it.
type SetGrowOnBoot struct {
	NewDisk    bool // the disk is another one by then
	SealedRoot bool
}

// Name identifies the step.
func (SetGrowOnBoot) Name() string { return "grow-on-boot" }

func (SetGrowOnBoot) String() string {
	return "have the last filesystem grow with the disk when the system starts"
}

// Replaces is fstab.
func (SetGrowOnBoot) Replaces(*machine.Machine) []plan.Replaced {
	return feature.Replaced("os.growOnBoot", feature.Fstab)
}

// Check looks for what grows a partition in the image, and whether this one can grow.
func (s SetGrowOnBoot) Check(_ context.Context, m *machine.Machine) (problems []plan.Problem) {
	for _, program := range []string{"/usr/lib/systemd/system/systemd-repart.service", "/usr/lib/systemd/systemd-growfs"} {
		if !m.Root.Exists(program) && !m.Root.Exists(strings.TrimPrefix(program, "/usr")) {
			problems = append(problems, plan.Problem{
				Path: "os.growOnBoot", Text: "nothing in the image grows a partition at boot: it has no " + path.Base(program), Later: true,
				Hint: feature.Installing(m, pkgmgr.Repart),
			})
		}
	}
	if s.NewDisk {
		return problems
	}
	if _, err := s.last(m); err != nil {
		problems = append(problems, plan.Problem{Path: "os.growOnBoot", Text: err.Error(), Hint: "remove os.growOnBoot, or lay the disk out anew with storage.disks"})
	}
	return problems
}

// growing is what is to grow.
type growing struct {
	part  disk.Volume
	mount string
	same  int // how many partitions of its type come before it, by their numbers
}

// last finds the last partition of the disk, or says why it cannot grow.
func (s SetGrowOnBoot) last(m *machine.Machine) (g growing, err error) {
	d := m.Opened()
	if d.Table.Kind != "gpt" {
		return g, fmt.Errorf("the disk has an MBR, in which systemd-repart grows no partition")
	}
	for _, v := range d.Volumes {
		if v.Start >= g.part.Start {
			g.part = v
		}
	}
	for _, v := range d.Volumes {
		if v.Partition.Type == g.part.Partition.Type && v.Number < g.part.Number {
			g.same++
		}
	}
	for _, x := range d.Mounts {
		if x.Volume.Number == g.part.Number && g.mount == "" {
			g.mount = x.Path
			if x.Kept {
				return g, fmt.Errorf("the last partition of the disk, number %d, is sealed by dm-verity and cannot grow", g.part.Number)
			}
		}
	}
	for _, x := range d.Sealed {
		if x.Data.Number == g.part.Number || x.Hash.Number == g.part.Number {
			return g, fmt.Errorf("the last partition of the disk, number %d, belongs to dm-verity and cannot grow", g.part.Number)
		}
	}
	switch {
	case g.mount == "":
		return g, fmt.Errorf("the last partition of the disk, number %d, has no filesystem that /etc/fstab mounts, and what stands before it cannot grow", g.part.Number)
	case !slices.Contains(growable, g.part.Content.Type):
		return g, fmt.Errorf("the last filesystem of the disk, at %s, is %s, which does not grow while it is mounted", g.mount, g.part.Content.Type)
	case g.mount == "/" && s.SealedRoot:
		return g, fmt.Errorf("the last partition of the disk holds the root, which is sealed and cannot grow")
	}
	return g, s.free(m, g.mount)
}

// free looks for what would be in the way: a line of fstab that mounts read-only or is not there, and other
// definitions, by which systemd-repart would make partitions in the place.
func (s SetGrowOnBoot) free(m *machine.Machine, mount string) error {
	text, err := m.Root.ReadFile(feature.Fstab)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(disk.ParseFstab(string(text)).Entries(), func(e disk.Entry) bool { return e.Target == mount })
	switch {
	case i < 0:
		return fmt.Errorf("/etc/fstab does not mount %s, so that nothing would grow it", mount)
	case slices.Contains(disk.ParseFstab(string(text)).Entries()[i].Options, "ro"):
		return fmt.Errorf("/etc/fstab mounts %s read-only: it cannot grow", mount)
	}
	for _, dir := range repartDirs {
		entries, _ := m.Root.ReadDir(dir) // one that is not there has none
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".conf") && !strings.HasPrefix(e.Name(), repartPrefix) {
				return fmt.Errorf("%s/%s of the image says already what systemd-repart is to do", dir, e.Name())
			}
		}
	}
	return nil
}

// Run writes one definition for each partition of the type, in their order, since that is how systemd-repart finds out
// which partition is meant; only the last has room to grow into.
func (s SetGrowOnBoot) Run(ctx context.Context, m *machine.Machine) error {
	if problems := s.Check(ctx, m); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	g, err := s.last(m)
	if err != nil {
		return err
	}
	if err := m.Root.MkdirAll(repartDir, 0o755); err != nil {
		return err
	}
	for i := range g.same + 1 {
		weight := 0
		if i == g.same {
			weight = 1000
		}
		text := fmt.Sprintf("[Partition]\nType=%s\nWeight=%d\n", g.part.Partition.Type, weight)
		if err := m.Root.WriteFile(fmt.Sprintf("%s/%s%02d.conf", repartDir, repartPrefix, i), []byte(text), 0o644); err != nil {
			return err
		}
	}
	text, err := m.Root.ReadFile(feature.Fstab)
	if err != nil {
		return err
	}
	f := disk.ParseFstab(string(text))
	for i := range f {
		if e := f[i].Entry; e != nil && e.Target == g.mount && !slices.Contains(e.Options, growOption) {
			with := *e
			with.Options = append(slices.Clone(e.Options), growOption)
			f[i].Entry = &with
		}
	}
	return m.Root.WriteFile(feature.Fstab, []byte(f.String()), 0o644)
}
