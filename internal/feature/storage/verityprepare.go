package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/initramfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/verity"
)

// Sealing is what a config says of dm-verity.
type Sealing struct{ *Storage }

// Used tells whether something is sealed, or sealed anew.
func (s Sealing) Used() bool { return len(s.Verity) > 0 || s.ReinitializeVerity == ReinitializeAll }

// Touches is the file that mounts new devices.
func (s Sealing) Touches() (list []feature.Touch) {
	if len(s.Verity) > 0 {
		list = []feature.Touch{{Path: feature.Fstab}}
	}
	return list
}

// Record is nothing: the history of the reference has no storage.
func (Sealing) Record() (any, error) { return nil, nil }

// Plan prepares the image for new devices, and for those that are to be sealed anew.
func (c Sealing) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	s, f := PrepareVerity{Changing: g.Packages}, g.Facts
	var problems []plan.Problem
	for i := range c.Verity {
		problems = append(problems, s.add(&c.Verity[i], fmt.Sprintf("storage.verity[%d]", i), f, g.Inputs)...)
	}
	if len(c.Verity) > 0 {
		g.NeedInitramfs("dm-verity")
	}
	if c.ReinitializeVerity == ReinitializeAll && !g.NewDisk {
		for _, d := range f.Sealed {
			s.Seals = append(s.Seals, image.Seal{
				Name: d.Device.Name, Data: d.Device.Data, Hash: d.Device.Hash, DataTag: tag(d.Device.Data), HashTag: tag(d.Device.Hash),
				Options: d.Device.WithHashOffset(0).Options, Salt: d.Super.Salt, UUID: d.Super.UUID,
			})
		}
	}
	if len(s.Seals)+len(problems) == 0 {
		return nil, nil
	}
	if why := f.Boot.Unsupported(); why != "" {
		problems = append(problems, plan.Problem{Step: s.Name(), Text: "the hashes cannot be named in the kernel arguments: " + why})
	}
	if g.Unified || f.Boot.Kind == boot.UKI && !g.NewDisk {
		problems = append(problems, plan.Problem{
			Step: s.Name(), Text: "the hashes cannot be named in unified kernel images yet: the EFI system partition is closed when the hashes are known",
			Hint: "seal without os.uki, or make unified kernel images without dm-verity",
		})
	}
	if on := f.FilesystemOf(f.Boot.Entries).MountPoint; f.Boot.Kind == boot.Systemd && on != f.FilesystemOf("/boot").MountPoint {
		problems = append(problems, plan.Problem{
			Step: s.Name(), Text: fmt.Sprintf("the hashes cannot be named in the boot entries: they lie on %s, which is closed when the hashes are known", on),
			Hint: "have the EFI system partition mounted at /boot, or use GRUB",
		})
	}
	if needs := s.sealsBoot(g); needs != "" && !c.separate("/boot", f) {
		problems = append(problems, plan.Problem{
			Step: "storage.verity", Text: "the image has no separate /boot: " + needs,
			Hint: "lay it out anew with storage.disks, with a filesystem for /boot",
		})
	} else if !g.NewDisk && f.FilesystemOf("/boot").Type == "vfat" {
		problems = append(problems, plan.Problem{Step: "storage.verity", Text: "/boot is FAT, on which the boot entries of an image with dm-verity cannot be written yet", Hint: "use a /boot of another kind"})
	}
	return plan.Plan{s}, problems
}

// sealsBoot says why /boot may not lie on the root; empty where it may, since that is not sealed.
func (s PrepareVerity) sealsBoot(g *feature.Given) string {
	root := slices.ContainsFunc(s.Seals, func(x image.Seal) bool { return x.Name == "root" }) ||
		!g.NewDisk && slices.ContainsFunc(g.Facts.Sealed, func(x image.Sealed) bool { return x.Device.Name == "root" })
	switch {
	case root:
		return "the boot entries name the hash of the root filesystem, and cannot lie on it"
	case slices.ContainsFunc(s.New, func(d PreparedDevice) bool { return d.Signed }):
		return "the initramfs mounts it for the signature of the hash"
	}
	return ""
}

func tag(source string) string {
	t, _, _ := strings.Cut(source, "=")
	return t
}

// separate tells whether a path will be the mount point of a filesystem that the kernel mounts.
func (s *Storage) separate(mountPoint string, f *machine.Facts) bool {
	if len(s.Disks) > 0 {
		return slices.ContainsFunc(s.mounts(nil), func(m mount) bool { return m.Path == mountPoint })
	}
	return f.FilesystemOf(mountPoint).MountPoint == mountPoint
}

// add takes up a device of the config.
func (s *PrepareVerity) add(v *Verity, at string, f *machine.Facts, in feature.Inputs) (problems []plan.Problem) {
	seal := image.Seal{
		Name: string(v.Name), DataTag: tagOf(v.DataDeviceMountIDType), HashTag: tagOf(v.HashDeviceMountIDType), Options: v.options(),
		Salt: in.Seed.Bytes("verity salt "+string(v.Name), saltSize), UUID: uuid.MustParse(in.Seed.UUID("verity " + string(v.Name))),
	}
	if v.new() {
		seal.Data, seal.Hash = newPartition(v.DataDeviceID, in), newPartition(v.HashDeviceID, in)
	} else {
		seal.Data, seal.Hash = v.DataDevice.source(), v.HashDevice.source()
		problems = existing(v, at, f)
	}
	s.Seals = append(s.Seals, seal)
	s.New = append(s.New, PreparedDevice{string(v.Name), v.mount(), v.HashSignaturePath != ""})
	return problems
}

// newPartition names a partition that the run makes.
func newPartition(id string, in feature.Inputs) string {
	return "PARTUUID=" + in.Seed.UUID(partitionSeed+id)
}

// partitionSeed begins the names under which the UUIDs of new partitions are drawn.
const partitionSeed = "partition "

const saltSize = 32

// PrepareVerity readies the image for filesystems that are sealed when all is done.
type PrepareVerity struct {
	New      []PreparedDevice
	Seals    []image.Seal
	Changing bool // packages of this run may bring what is missing
}

// PreparedDevice is a verity device that the image has not had.
type PreparedDevice struct {
	Name, Mount string
	Signed      bool
}

// Seals are the filesystems that a plan leaves to be sealed.
func Seals(p plan.Plan) (list []image.Seal) {
	for _, s := range p {
		if v, ok := s.(PrepareVerity); ok {
			list = append(list, v.Seals...)
		}
	}
	return list
}

// Name identifies the step.
func (PrepareVerity) Name() string { return "verity.prepare" }

// Stage is the part of the run that it belongs to.
func (PrepareVerity) Stage() plan.Stage { return plan.Boot }

func (s PrepareVerity) String() string {
	var names []string
	for _, seal := range s.Seals {
		names = append(names, verity.Names[seal.Name])
	}
	return "prepare dm-verity for " + strings.Join(names, " and ")
}

func (s PrepareVerity) inline() bool {
	return slices.ContainsFunc(s.Seals, func(x image.Seal) bool { return x.Data == x.Hash })
}

// GRUB's defaults for a sealed root: its name, for when the boot entries are generated again.
var sealedDefaults = []string{"GRUB_DEVICE=" + verity.Node("root"), "GRUB_DISABLE_LINUX_UUID=true", "GRUB_DISABLE_LINUX_PARTUUID=true"}

// ForgetVerity takes out of an image what made it use the verity devices of its old disk.
type ForgetVerity struct{}

// Name identifies the step.
func (ForgetVerity) Name() string { return "verity.forget" }

// Stage is the part of the run that it belongs to.
func (ForgetVerity) Stage() plan.Stage { return plan.Disk }

func (ForgetVerity) String() string { return "forget the dm-verity devices of the old disk" }

// Run edits GRUB's defaults; /etc/fstab and the boot entries are made anew anyway.
func (ForgetVerity) Run(_ context.Context, m *machine.Machine) error {
	for _, line := range sealedDefaults {
		if err := m.Root.DropLine(feature.GRUBDefaults, line); err != nil {
			return err
		}
	}
	return nil
}

// Run has the initramfs set the devices up and fstab mount them.
func (s PrepareVerity) Run(_ context.Context, m *machine.Machine) error {
	if len(s.New) == 0 {
		return nil
	}
	if missing := verityNeeds(m, s.inline()); len(missing) > 0 {
		return fmt.Errorf("%s: %s", missing[0].what, missing[0].hint)
	}
	if err := m.Root.AppendLines(feature.DracutDir+"/systemd-veritysetup.conf", 0o644, `add_dracutmodules+=" systemd-veritysetup "`, `add_drivers+=" dm-verity "`); err != nil {
		return err
	}
	for _, d := range s.New {
		if err := d.prepare(m); err != nil {
			return err
		}
		if d.Mount == "/" {
			warnOfTmp(m)
		}
	}
	return nil
}

// warnOfTmp warns of a /tmp on a sealed root: services with PrivateTmp=, as many have, do not start.
func warnOfTmp(m *machine.Machine) {
	text, _ := m.Root.ReadFile(feature.Fstab)
	mounted := slices.ContainsFunc(disk.ParseFstab(string(text)).Entries(), func(e disk.Entry) bool { return e.Target == "/tmp" })
	for _, dir := range []string{"/etc/systemd/system", "/usr/lib/systemd/system"} {
		mounted = mounted || m.Root.Exists(dir+"/local-fs.target.wants/tmp.mount")
	}
	if !mounted {
		m.Log.Warn("/tmp will be read-only with the sealed root, and services with a /tmp of their own will not start: mount a tmpfs there, or enable tmp.mount")
	}
}

func (d PreparedDevice) prepare(m *machine.Machine) error {
	if d.Signed {
		if err := initramfs.MountBootEarly(m); err != nil {
			return err
		}
	}
	if err := d.mountIn(m); err != nil {
		return err
	}
	if d.Mount != "/" || !m.Root.Exists(feature.GRUBDefaults) {
		return nil
	}
	return m.Root.AppendLines(feature.GRUBDefaults, 0o644, sealedDefaults...)
}

// mountIn has fstab mount the device, read-only: a line that does not say so would have systemd fail
// to remount it.
func (d PreparedDevice) mountIn(m *machine.Machine) error {
	text, err := m.Root.ReadFile(feature.Fstab)
	if err != nil {
		return err
	}
	f := disk.ParseFstab(string(text))
	for i := range f {
		if e := f[i].Entry; e != nil && e.Target == d.Mount {
			e.Source, e.Pass = verity.Node(d.Name), 0 // fsck cannot mend what nobody can write
			e.Options = slices.DeleteFunc(e.Options, func(o string) bool { return o == "rw" })
			if !slices.Contains(e.Options, "ro") {
				e.Options = append([]string{"ro"}, e.Options...)
			}
			return m.Root.WriteFile(feature.Fstab, []byte(f.String()), 0o644)
		}
	}
	return fmt.Errorf("%s has no line for %s", feature.Fstab, d.Mount)
}

// Replaces is the fstab, and the configuration of the boot loader.
func (s PrepareVerity) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("storage.verity", append(booting.ConfigFiles(m, m.Facts.Boot), feature.Fstab)...)
}

// Replaces lists GRUB's defaults, where they name the devices.
func (ForgetVerity) Replaces(m *machine.Machine) []plan.Replaced {
	return feature.Replaced("storage.disks", feature.Present(m, feature.GRUBDefaults)...)
}
