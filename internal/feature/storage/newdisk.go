package storage

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/filetree"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
)

// Disks is the disk that a config describes.
type Disks struct{ *Storage }

// Used tells whether it describes one.
func (n Disks) Used() bool { return len(n.Disks) > 0 }

// Touches is nothing: the filesystems are new.
func (Disks) Touches() []feature.Touch { return nil }

// Record is nothing: the history of the reference has no storage.
func (Disks) Record() (any, error) { return nil, nil }

// Plan lays the disk out.
func (n Disks) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	p, problems := n.plan(g.Facts, g.Inputs)
	if mountsNew(p) {
		g.NeedInitramfs(booting.NewFilesystems)
	}
	return p, problems
}

func (n Disks) plan(f *machine.Facts, in feature.Inputs) (plan.Plan, []plan.Problem) {
	s := NewDisk{Layout: n.layout(f, in)}
	if n.BootType == feature.BootLegacy && s.Layout.Table.SectorSize != 512 {
		return nil, []plan.Problem{{Step: s.Name(), Text: fmt.Sprintf("bootType legacy needs a disk with sectors of 512 bytes; the base image has %d", s.Layout.Table.SectorSize)}}
	}
	if s.Layout.Kept > 0 {
		return plan.Plan{ExtendDisk{s}}, nil
	}
	if len(f.Sealed) > 0 {
		return plan.Plan{s, ForgetVerity{}}, nil
	}
	return plan.Plan{s}, nil
}

// layout is the disk with all its identifiers. Its sectors are as large as those of the base image,
// for which its boot loader may be made.
func (s *Storage) layout(f *machine.Facts, in feature.Inputs) *disk.Layout {
	d := s.Disks[0]
	spans, size, _ := d.arrange()
	l := &disk.Layout{Size: int64(size), Table: disk.Table{Kind: "gpt", SectorSize: cmp.Or(f.SectorSize, 512), ID: in.Seed.UUID("disk")}}
	for i, p := range d.Partitions {
		part := disk.Partition{
			Number: i + 1, Start: int64(spans[i].start), Size: int64(spans[i].end - spans[i].start), Name: p.Label,
			Type: p.guid(f.Arch), UUID: in.Seed.UUID(partitionSeed + p.ID),
		}
		l.Table.Partitions = append(l.Table.Partitions, part)
		if format := s.format(p, part.Number, f, in); format != nil {
			l.Filesystems = append(l.Filesystems, *format)
		}
	}
	s.layoutMounts(l)
	s.extend(l, f)
	return l
}

func (p Partition) guid(arch string) string {
	return strings.ToLower(cmp.Or(disk.TypeGUID(string(cmp.Or(p.Type, "linux-generic")), arch), string(p.Type)))
}

// format is the filesystem of a partition, or nil.
func (s *Storage) format(p Partition, number int, f *machine.Facts, in feature.Inputs) *disk.Format {
	name := "filesystem " + p.ID
	fs, i := s.filesystemOf(p.ID)
	switch {
	case p.is("swap"):
		return &disk.Format{Partition: number, Type: "swap", UUID: in.Seed.UUID(name)}
	case fs == nil || fs.Type == "":
		return nil
	case fs.Type.kernelName() == "vfat":
		id := strings.ToUpper(hex.EncodeToString(in.Seed.Bytes(name, 4)))
		return &disk.Format{Partition: number, Type: "vfat", UUID: id[:4] + "-" + id[4:]}
	}
	format := &disk.Format{
		Partition: number, Type: string(fs.Type), UUID: in.Seed.UUID(name), Size: s.sizeBeforeTree(p), Block: s.blockSize(p),
		Features: features(string(fs.Type), s.holdsBoot(i), f),
	}
	if fs.Btrfs != nil {
		for _, v := range fs.Btrfs.Subvolumes {
			sub := disk.Subvolume{Path: string(v.Path)}
			if q := v.Quota; q != nil {
				sub.Referenced, sub.Exclusive = bytesOf(q.ReferencedLimit), bytesOf(q.ExclusiveLimit)
			}
			format.Subvolumes = append(format.Subvolumes, sub)
		}
		slices.SortFunc(format.Subvolumes, func(a, b disk.Subvolume) int { return cmp.Compare(a.Path, b.Path) })
	}
	return format
}

func bytesOf(s *config.Size) int64 {
	if s == nil {
		return 0
	}
	return int64(*s)
}

// holdsBoot tells whether /boot, which the boot loader reads, lies on a filesystem.
func (s *Storage) holdsBoot(filesystem int) bool {
	best := mount{filesystem: -1}
	for _, m := range s.mounts(nil) {
		if (m.Path == "/boot" || feature.Below("/boot", m.Path)) && len(m.Path) > len(best.Path) {
			best = m
		}
	}
	return best.filesystem == filesystem
}

// features are those of a new filesystem: what the distribution makes, but for what a kernel of the image is
// too old for, or this host's, which has to write it, or GRUB, where that reads it.
func features(kind string, boot bool, f *machine.Facts) (list []string) {
	for _, name := range f.Distro.Filesystems.Of(kind) {
		x := disk.FeatureNamed(kind, name)
		used := x.UsedBy(f.HostKernel)
		for _, k := range f.Kernels {
			used = used && x.UsedBy(k.Version)
		}
		if g := f.Distro.GRUB; boot && g != nil {
			used = used && x.ReadBy(g.Version, g.Vendor)
		}
		if used {
			list = append(list, name)
		}
	}
	return list
}

// layoutMounts adds the lines of /etc/fstab.
func (s *Storage) layoutMounts(l *disk.Layout) {
	for _, m := range s.mounts(nil) {
		id := s.partition(s.Filesystems[m.filesystem].DeviceID).ID
		number := 1 + slices.IndexFunc(s.Disks[0].Partitions, func(p Partition) bool { return p.ID == id })
		part, format := l.Partition(number), l.Format(number)
		e := disk.Entry{Target: m.Path, Type: format.Type, Options: m.options(format.Type), Pass: fsckPass(m.Path, format.Type)}
		switch m.IDType {
		case IDUUID:
			e.Source = "UUID=" + format.UUID
		case IDPartLabel:
			e.Source = "PARTLABEL=" + part.Name
		default:
			e.Source = "PARTUUID=" + part.UUID
		}
		l.Mounts = append(l.Mounts, disk.LayoutMount{Entry: e, Partition: number, Subvolume: m.subvolume})
	}
	slices.SortStableFunc(l.Mounts, func(a, b disk.LayoutMount) int { return cmp.Compare(depth(a.Entry.Target), depth(b.Entry.Target)) })
	for _, f := range l.Filesystems {
		if f.Type == "swap" {
			l.Swaps = append(l.Swaps, disk.Entry{Source: "UUID=" + f.UUID, Target: "none", Type: "swap", Options: []string{"sw"}})
		}
	}
}

func depth(p string) int {
	if p == "/" {
		return 0
	}
	return strings.Count(p, "/")
}

// options are the mount options. A FAT filesystem has no owners: unless told otherwise, it is root's.
func (m mount) options(kind string) (list []string) {
	if m.subvolume != "" {
		list = append(list, "subvol=/"+m.subvolume)
	}
	switch {
	case m.Options != "" && m.Options != "defaults":
		list = append(list, strings.Split(m.Options, ",")...)
	case m.Options == "" && kind == "vfat":
		list = append(list, "umask=0077")
	}
	return list
}

// fsckPass is the order in which filesystems are checked at boot; xfs and btrfs check themselves.
func fsckPass(target, kind string) int {
	switch {
	case kind == "xfs" || kind == "btrfs":
		return 0
	case target == "/":
		return 1
	}
	return 2
}

// NewDisk makes a disk and copies the system to it, which from then on is the image.
type NewDisk struct{ Layout *disk.Layout }

// Name identifies the step.
func (NewDisk) Name() string { return "storage.disk" }

// Stage is the part of the run that it belongs to.
func (NewDisk) Stage() plan.Stage { return plan.Disk }

func (s NewDisk) String() string {
	return fmt.Sprintf("copy the system to a new disk of %v: %s", config.Size(s.Layout.Size), s.parts())
}

// parts says what the partitions hold.
func (s NewDisk) parts() string {
	var parts []string
	for _, p := range s.Layout.Table.Partitions {
		words := []string{config.Size(p.Size).String()}
		if f := s.Layout.Format(p.Number); f.Type != "" {
			words = append(words, f.Type)
		}
		for _, m := range s.Layout.Mounts {
			if m.Partition == p.Number {
				words = append(words, m.Entry.Target)
			}
		}
		parts = append(parts, strings.Join(words, " "))
	}
	return strings.Join(parts, ", ")
}

// Check looks whether the content fits and the image's kernels can mount what they will have to.
func (s NewDisk) Check(ctx context.Context, m *machine.Machine) []plan.Problem {
	problems := s.checkKernels(m)
	use, err := filetree.Measure(ctx, m.Root, s.treeOptions())
	if err != nil {
		return append(problems, plan.Problem{Text: err.Error()})
	}
	for _, mt := range s.Layout.Mounts {
		if mt.Partition <= s.Layout.Kept {
			continue
		}
		u, size := use[fromTop(mt.Entry.Target)], cmp.Or(s.Layout.Format(mt.Partition).Size, s.Layout.Partition(mt.Partition).Size)
		if room := s.Layout.Format(mt.Partition).Room(size); u.Bytes > room {
			problems = append(problems, plan.Problem{
				Text: fmt.Sprintf("what belongs to %s takes %d MiB, but its partition of %v has room for at most %d MiB", mt.Entry.Target, u.Bytes>>20, config.Size(size), room>>20),
				Hint: "make the partition larger",
			})
		}
	}
	return problems
}

// treeOptions describe the tree of the entered image, as it is to be spread over the new mounts.
func (s NewDisk) treeOptions() filetree.Options {
	o := filetree.Options{Skip: []string{"dev", "proc", "sys", "run", "tmp"}}
	for _, mt := range s.Layout.Mounts {
		o.Tops = append(o.Tops, fromTop(mt.Entry.Target))
	}
	return o
}

func fromTop(target string) string { return strings.TrimPrefix(target, "/") }

func (s NewDisk) checkKernels(m *machine.Machine) (problems []plan.Problem) {
	seen := map[string]bool{}
	for _, mt := range s.Layout.Mounts {
		kind := mt.Entry.Type
		if seen[kind] {
			continue
		}
		seen[kind] = true
		for _, k := range m.Facts.Kernels {
			if !kernelHas(m, k, kind) {
				problems = append(problems, plan.Problem{
					Text: fmt.Sprintf("%s would be %s, which the image's kernel %s does not know", mt.Entry.Target, kind, k.Version),
					Hint: "choose another kind of filesystem, or install a kernel that has it",
				})
			}
		}
	}
	return problems
}

// kernelHas looks for a filesystem among the modules of a kernel and what is built into it. Where it
// does not say, the kernel is trusted.
func kernelHas(m *machine.Machine, k boot.Kernel, kind string) bool {
	known := false
	for _, list := range []string{"modules.builtin", "modules.dep"} {
		text, err := m.Root.ReadFile(path.Join(k.Modules, list))
		if err != nil || k.Modules == "" {
			return true
		}
		known = known || strings.Contains(string(text), "/"+kind+".ko")
	}
	return known
}

// Run makes the disk and writes the new /etc/fstab.
func (s NewDisk) Run(ctx context.Context, m *machine.Machine) error {
	volumes := m.Facts.Volumes // of the old disk
	if err := m.NewDisk(ctx, s.Layout); err != nil {
		return err
	}
	old, err := m.Root.ReadFile("/etc/fstab")
	if err != nil {
		return err
	}
	if err := m.Root.WriteFile("/etc/fstab", []byte(newFstab(string(old), s.Layout, volumes)), 0o644); err != nil {
		return err
	}
	return s.resume(m.Root)
}

// resume names the new swap where initramfs-tools was told the old one: it waits for it at every boot.
func (s NewDisk) resume(root *rootfs.Root) error {
	const file = "/etc/initramfs-tools/conf.d/resume"
	if !root.Exists(file) {
		return nil
	}
	source := "none"
	if len(s.Layout.Swaps) > 0 {
		source = s.Layout.Swaps[0].Source
	}
	return root.WriteFile(file, []byte("RESUME="+source+"\n"), 0o644)
}

// newFstab replaces the lines for filesystems and swap of the image's own disk, whose partitions are others
// now, and keeps all others.
func newFstab(old string, l *disk.Layout, volumes []disk.Volume) string {
	entries := slices.Clone(l.Swaps)
	for i := len(l.Mounts) - 1; i >= 0; i-- {
		entries = slices.Insert(entries, 0, l.Mounts[i].Entry)
	}
	var text strings.Builder
	write := func() {
		for _, e := range entries {
			text.WriteString(e.String() + "\n")
		}
		entries = nil
	}
	lines := disk.ParseFstab(old)
	claims := lines.Claims(volumes)
	for _, line := range lines {
		own := false
		if line.Entry != nil {
			own, claims = claims[0].Own || claims[0].Use == disk.Data && l.Mounted(claims[0].Target), claims[1:]
		}
		if !own {
			text.WriteString(line.Text)
			continue
		}
		write() // where the first of the old ones was
	}
	if t := text.String(); t != "" && !strings.HasSuffix(t, "\n") {
		text.WriteString("\n")
	}
	write()
	return text.String()
}

// Replaces is the fstab.
func (NewDisk) Replaces(*machine.Machine) []plan.Replaced {
	return feature.Replaced("storage.disks", feature.Fstab)
}
