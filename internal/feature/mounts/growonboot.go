package mounts

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/services"
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
	return []feature.Touch{{Path: repartDir}, {Path: feature.Fstab}, {Path: services.UnitFolders[0]}}
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

// Replaces are fstab, or the files that have growpart run.
func (SetGrowOnBoot) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("os.growOnBoot", append([]string{feature.Fstab}, feature.Present(m, growRunner, path.Join(services.UnitFolders[0], growUnit))...)...)
}

// Check looks for what grows a partition in the image, and whether this one can grow.
func (s SetGrowOnBoot) Check(_ context.Context, m *machine.Machine) []plan.Problem {
	if text, need := s.lacks(m); text != "" {
		return []plan.Problem{{Path: "os.growOnBoot", Text: text, Later: true, Hint: feature.Installing(m, need)}}
	}
	if s.NewDisk {
		return nil
	}
	if _, err := s.last(m); err != nil {
		return []plan.Problem{{Path: "os.growOnBoot", Text: err.Error(), Hint: "remove os.growOnBoot, or lay the disk out anew with storage.disks"}}
	}
	return nil
}

// lacks says what the image lacks to grow a partition at boot; packages may bring it.
func (s SetGrowOnBoot) lacks(m *machine.Machine) (text string, need pkgmgr.Need) {
	why := whyNoGrowpart(m)
	switch mbr := !s.NewDisk && m.Opened().Table.Kind != "gpt"; {
	case why == "":
		return "", ""
	case mbr:
		return "the disk has an MBR, in which systemd-repart grows no partition, and the image has " + why, pkgmgr.Growpart
	case !hasRepart(m):
		return "nothing in the image grows a partition at boot: it has no systemd-repart.service with systemd-growfs, and " + why, pkgmgr.Repart
	}
	return "", ""
}

// growfs makes a filesystem larger, on images with systemd.
func growfs(m *machine.Machine) string {
	for _, dir := range []string{"/usr/lib/systemd", "/lib/systemd"} {
		if m.Root.Exists(dir + "/systemd-growfs") {
			return dir + "/systemd-growfs"
		}
	}
	return ""
}

// hasRepart tells whether systemd grows partitions of the image.
func hasRepart(m *machine.Machine) bool {
	unit := "/lib/systemd/system/systemd-repart.service"
	return growfs(m) != "" && (m.Root.Exists(unit) || m.Root.Exists("/usr"+unit))
}

// growing is what is to grow.
type growing struct {
	part  disk.Volume
	mount string
	same  int // how many partitions of its type come before it, by their numbers
	by    growBy
}

// growBy is what grows a partition.
type growBy string

const (
	byRepart   growBy = "systemd-repart"
	byGrowpart growBy = "growpart"
)

// last finds the last partition of the disk, or says why it cannot grow.
func (s SetGrowOnBoot) last(m *machine.Machine) (g growing, err error) {
	d := m.Opened()
	g.by = byRepart
	if d.Table.Kind != "gpt" || !hasRepart(m) {
		g.by = byGrowpart
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
	case d.Table.Kind == "mbr" && g.part.Number > 4:
		return g, fmt.Errorf("the last partition of the disk, number %d, is a logical one of an MBR, which growpart does not grow", g.part.Number)
	case g.mount == "":
		return g, fmt.Errorf("the last partition of the disk, number %d, has no filesystem that /etc/fstab mounts, and what stands before it cannot grow", g.part.Number)
	case !slices.Contains(growable, g.part.Content.Type):
		return g, fmt.Errorf("the last filesystem of the disk, at %s, is %s, which does not grow while it is mounted", g.mount, g.part.Content.Type)
	case g.mount == "/" && s.SealedRoot:
		return g, fmt.Errorf("the last partition of the disk holds the root, which is sealed and cannot grow")
	case g.by == byGrowpart && grower(m, g.part.Content.Type) == "":
		return g, fmt.Errorf("the image has no program that makes the last filesystem of the disk larger, at %s, which is %s", g.mount, g.part.Content.Type)
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
	if !hasRepart(m) {
		return nil
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

// Run has the partition and its filesystem grown by what the image has.
func (s SetGrowOnBoot) Run(ctx context.Context, m *machine.Machine) error {
	if problems := s.Check(ctx, m); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	g, err := s.last(m)
	if err != nil {
		return err
	}
	m.Log.Debug("the last filesystem grows at boot", "mount", g.mount, "by", g.by)
	if g.by == byGrowpart {
		return g.writeUnit(m)
	}
	if err := g.define(m); err != nil {
		return err
	}
	return g.setOption(m)
}

// define writes one definition for each partition of the type, in their order, since that is how systemd-repart finds out
// which partition is meant; only the last has room to grow into.
func (g growing) define(m *machine.Machine) error {
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
	return nil
}

// setOption has systemd grow the filesystem when it is mounted.
func (g growing) setOption(m *machine.Machine) error {
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

// Flags asks for it.
func (GrowOnBoot) Flags() []feature.Flag {
	return []feature.Flag{{Name: "grow-on-boot", Help: "Have the last filesystem grow with the disk when the system starts.", Says: func(string) ([]feature.Said, error) { return feature.Say("os.growOnBoot", true) }}}
}
