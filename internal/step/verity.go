package step

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/uuid"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/verity"
)

// Verity seals a filesystem with dm-verity: the kernel checks each block of it against a tree of
// hashes as it is read. The filesystem is read-only from then on.
type Verity struct {
	ID                    string           `yaml:"id" required:"true" doc:"Name by which filesystems refer to the device." example:"rootverity"`
	Name                  VerityName       `yaml:"name" required:"true" doc:"root for the filesystem mounted at /, usr for that at /usr."`
	DataDeviceID          string           `yaml:"dataDeviceId" doc:"The id of the new partition that holds the filesystem."`
	HashDeviceID          string           `yaml:"hashDeviceId" doc:"The id of the new partition that the hash tree goes to. That of dataDeviceId puts it behind the filesystem, in the same partition."`
	DataDevice            *PartitionRef    `yaml:"dataDevice" doc:"The partition of the base image that holds the filesystem. Instead of dataDeviceId, without disks."`
	HashDevice            *PartitionRef    `yaml:"hashDevice" doc:"The partition of the base image that the hash tree goes to. Instead of hashDeviceId."`
	DataDeviceMountIDType IDType           `yaml:"dataDeviceMountIdType" default:"part-uuid" doc:"How the kernel arguments name the partition of the filesystem."`
	HashDeviceMountIDType IDType           `yaml:"hashDeviceMountIdType" default:"part-uuid" doc:"How the kernel arguments name the partition of the hash tree."`
	CorruptionOption      CorruptionOption `yaml:"corruptionOption" default:"io-error" doc:"What the kernel does about a block that does not have its hash: fail the read, ignore it (it is logged), panic, or restart."`
	HashSignaturePath     string           `yaml:"hashSignaturePath" doc:"File below /boot with a signature of the root hash, which the kernel will demand. It is put there after the run." example:"/boot/root.hash.sig"`
}

// VerityName is the name of a verity device.
type VerityName string

// Values lists the names.
func (VerityName) Values() []string { return []string{"root", "usr"} }

// PartitionRef names a partition of the base image.
type PartitionRef struct {
	IDType IDType `yaml:"idType" required:"true" doc:"What id is."`
	ID     string `yaml:"id" required:"true" doc:"Label, or UUID."`
}

// source is the partition as fstab names it.
func (r PartitionRef) source() string { return tagOf(r.IDType) + "=" + r.ID }

func tagOf(t IDType) string {
	return map[IDType]string{IDPartUUID: "PARTUUID", IDUUID: "UUID", IDPartLabel: "PARTLABEL"}[cmp.Or(t, IDPartUUID)]
}

// CorruptionOption says what becomes of a read of damaged data.
type CorruptionOption string

var corruptionOptions = map[CorruptionOption]string{
	"io-error": "", "ignore": "ignore-corruption", "panic": "panic-on-corruption", "restart": "restart-on-corruption",
}

// Values lists the options.
func (CorruptionOption) Values() []string { return []string{"io-error", "ignore", "panic", "restart"} }

// Reinitialize says what becomes of the base image's verity devices.
type Reinitialize string

// ReinitializeAll seals them anew.
const ReinitializeAll Reinitialize = "all"

// Values lists the ways.
func (Reinitialize) Values() []string { return []string{"", "none", string(ReinitializeAll)} }

// Validate checks one device on its own.
func (v *Verity) Validate(at *config.At) {
	v.CheckDevices(at, at.Field)
	if p := v.HashSignaturePath; p != "" && (path.Clean(p) != p || !strings.HasPrefix(p, "/boot/")) {
		at.Field("hashSignaturePath").Errorf("%q is not the plain form of a path below /boot", p).Hint("write it like /boot/root.hash.sig")
	}
}

// CheckDevices checks how the partitions are named, in either schema; field finds the place of a key.
func (v *Verity) CheckDevices(at *config.At, field func(string) *config.At) {
	named, referred := v.DataDeviceID+v.HashDeviceID != "", v.DataDevice != nil || v.HashDevice != nil
	switch {
	case named && referred:
		at.Errorf("new partitions (dataDeviceId, hashDeviceId) and those of the base image (dataDevice, hashDevice) cannot be mixed")
	case referred && v.HashDevice == nil, named && v.HashDeviceID == "":
		at.Errorf("the partition for the hash tree is missing").Hint("add hashDevice, or hashDeviceId with new partitions")
	case referred && v.DataDevice == nil, !referred && v.DataDeviceID == "":
		at.Errorf("the partition of the filesystem is missing").Hint("add dataDevice, or dataDeviceId with new partitions")
	case referred && *v.DataDevice == *v.HashDevice && v.DataDevice.ID != "":
		field("hashDevice").Errorf("the filesystem fills its partition: the hash tree needs another one")
	}
	for key, r := range map[string]*PartitionRef{"dataDevice": v.DataDevice, "hashDevice": v.HashDevice} {
		if r != nil && r.IDType != "" {
			r.check(field(key))
		}
	}
}

func (r PartitionRef) check(at *config.At) {
	switch r.IDType {
	case IDUUID, IDPartUUID:
		if _, err := uuid.Parse(r.ID); err != nil && r.ID != "" {
			at.Errorf("%q is no UUID", r.ID)
		}
	case IDPartLabel:
		if why := badLabel(r.ID); why != "" {
			at.Errorf("%s", why)
		}
	}
	if r.ID == "" {
		at.Errorf("the id is empty")
	}
}

// new tells whether the device is made of new partitions.
func (v *Verity) new() bool { return v.DataDeviceID != "" }

func (v *Verity) mount() string { return verity.Names[string(v.Name)] }

// options are those of systemd-veritysetup.
func (v *Verity) options() (list []string) {
	if o := corruptionOptions[v.CorruptionOption]; o != "" {
		list = append(list, o)
	}
	if v.HashSignaturePath != "" {
		list = append(list, "root-hash-signature="+v.HashSignaturePath)
	}
	return list
}

// checkVerity checks the devices among each other and against the new partitions.
func (s *Storage) checkVerity(at *config.At) {
	list := at.Field("verity")
	for i := range s.Verity {
		v, item := &s.Verity[i], list.Index(i)
		for _, other := range s.Verity[:i] {
			switch {
			case other.Name == v.Name && v.Name != "":
				item.Field("name").Errorf("two verity devices are called %q", string(v.Name))
			case other.ID == v.ID && v.ID != "":
				item.Field("id").Errorf("two verity devices have the id %q", v.ID)
			case other.new() != v.new():
				item.Errorf("new partitions and those of the base image cannot be mixed; the first verity device uses the other kind")
			}
		}
		switch {
		case v.new() && len(s.Disks) == 0:
			item.Field("dataDeviceId").Errorf("there are no new partitions to refer to").Hint("add storage.disks, or name partitions of the base image with dataDevice and hashDevice")
		case !v.new() && v.DataDevice != nil && len(s.Disks) > 0:
			item.Field("dataDevice").Errorf("with new disks, the base image's partitions do not stay").Hint("refer to new ones with dataDeviceId and hashDeviceId")
		case v.new() && len(s.Disks) == 1:
			s.checkNewVerity(v, item)
		}
	}
}

// checkNewVerity checks a device made of new partitions.
func (s *Storage) checkNewVerity(v *Verity, at *config.At) {
	for key, id := range map[string]string{"dataDeviceId": v.DataDeviceID, "hashDeviceId": v.HashDeviceID} {
		if !slices.Contains(s.partitionIDs(), id) && id != "" {
			at.Field(key).Errorf("there is no partition %q", id).Hint("partitions: %s", strings.Join(s.partitionIDs(), ", "))
		}
		for i := range s.Verity {
			if o := &s.Verity[i]; o != v && id != "" && (o.DataDeviceID == id || o.HashDeviceID == id) {
				at.Field(key).Errorf("the partition %q belongs to two verity devices", id)
			}
		}
	}
	if slices.Contains(s.partitionIDs(), v.ID) {
		at.Field("id").Errorf("%q is the id of a partition too", v.ID)
	}
	used := false
	for _, f := range s.Filesystems {
		used = used || f.DeviceID == v.ID
		if f.DeviceID == v.DataDeviceID || f.DeviceID == v.HashDeviceID {
			at.Errorf("the filesystem of partition %q goes around the verity device", f.DeviceID).Hint("write \"deviceId: %s\" there, and none for the hash tree", v.ID)
		}
	}
	if !used && v.ID != "" {
		at.Field("id").Errorf("no filesystem has the deviceId %q", v.ID).Hint("add one to storage.filesystems, mounted at %s with the option ro", v.mount())
	}
	if len(s.Verity) > 0 && v == &s.Verity[0] && !s.separate("/boot", nil) {
		at.Errorf("there is no filesystem for /boot").Hint("the boot entries name the hash, and cannot lie on what it seals: add a partition and a filesystem mounted at /boot")
	}
	for key, x := range map[string]struct {
		kind IDType
		id   string
	}{"dataDeviceMountIdType": {v.DataDeviceMountIDType, v.DataDeviceID}, "hashDeviceMountIdType": {v.HashDeviceMountIDType, v.HashDeviceID}} {
		if p := s.partition(x.id); x.kind == IDPartLabel && p != nil && !s.labelTells(p.Label) {
			at.Field(key).Errorf("the partition %q is to be named by its label, but no label is its alone", x.id).Hint("give the partition a label that no other has")
		}
	}
	s.checkTreeSize(v, at.Field("hashDeviceId"))
}

// sizeBeforeTree is the size of a filesystem that leaves room for its hash tree in the same partition;
// 0 where it fills the partition.
func (s *Storage) sizeBeforeTree(p Partition) int64 {
	for _, v := range s.Verity {
		if i := slices.Index(s.partitionIDs(), p.ID); v.DataDeviceID == p.ID && v.HashDeviceID == p.ID && i >= 0 {
			spans, _, _ := s.Disks[0].arrange()
			return verity.InlineData(int64(spans[i].end - spans[i].start))
		}
	}
	return 0
}

// blockSize is what a filesystem must be made of for its device; 0 where it does not matter.
func (s *Storage) blockSize(p Partition) int {
	if slices.ContainsFunc(s.Verity, func(v Verity) bool { return v.DataDeviceID == p.ID }) {
		return verity.BlockSize
	}
	return 0
}

func (s *Storage) checkTreeSize(v *Verity, at *config.At) {
	places, _, problems := s.Disks[0].arrange()
	data, hash := slices.Index(s.partitionIDs(), v.DataDeviceID), slices.Index(s.partitionIDs(), v.HashDeviceID)
	if len(problems) > 0 || data < 0 || hash < 0 || data == hash {
		return
	}
	need := verity.Size(int64(places[data].end-places[data].start) / verity.BlockSize)
	if have := int64(places[hash].end - places[hash].start); need > have {
		at.Errorf("partition %q is too small for the hash tree: it has %d KiB, the tree takes %d KiB", v.HashDeviceID, have>>10, need>>10)
	}
}

// checkVerityMount checks how a sealed filesystem is mounted.
func (s *Storage) checkVerityMount(m mount) {
	v := s.verityOf(s.Filesystems[m.filesystem].DeviceID)
	if v == nil {
		return
	}
	switch {
	case m.Path != v.mount():
		m.at.Errorf("the verity device %q must be mounted at %s", string(v.Name), v.mount()).Hint("systemd knows only root, for /, and usr, for /usr")
	case !slices.Contains(strings.Split(m.Options, ","), "ro"):
		m.at.Errorf("a filesystem sealed by dm-verity is read-only, and the mount options of %s do not say so", m.Path).Hint("add \"options: ro\" to the mount point")
	case m.IDType != "":
		m.at.Errorf("idType is not for verity devices: /etc/fstab will name %s", verity.Node(string(v.Name)))
	}
}

// verityOf is the verity device with this id, or nil.
func (s *Storage) verityOf(id string) *Verity {
	for i := range s.Verity {
		if s.Verity[i].ID == id && id != "" {
			return &s.Verity[i]
		}
	}
	return nil
}

// planVerity prepares the image for new devices, and for those that are to be sealed anew.
func planVerity(c *Config, f *machine.Facts, in Inputs) (plan.Plan, []plan.Problem) {
	s := PrepareVerity{Changing: !c.OS.Packages.empty()}
	var problems []plan.Problem
	for i := range c.Storage.Verity {
		v := &c.Storage.Verity[i]
		at := fmt.Sprintf("storage.verity[%d]", i)
		problems = append(problems, s.add(v, at, f, in)...)
	}
	if c.Storage.ReinitializeVerity == ReinitializeAll && len(c.Storage.Disks) == 0 {
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
	if !c.Storage.separate("/boot", f) {
		problems = append(problems, plan.Problem{
			Step: "storage.verity", Text: "the image has no separate /boot: the boot entries name the hash of the root filesystem, and cannot lie on it",
			Hint: "lay it out anew with storage.disks, with a filesystem for /boot",
		})
	} else if len(c.Storage.Disks) == 0 && f.FilesystemOf("/boot").Type == "vfat" {
		problems = append(problems, plan.Problem{Step: "storage.verity", Text: "/boot is FAT, on which the boot entries of an image with dm-verity cannot be written yet", Hint: "use a /boot of another kind"})
	}
	return plan.Plan{s}, problems
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
func (s *PrepareVerity) add(v *Verity, at string, f *machine.Facts, in Inputs) (problems []plan.Problem) {
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
func newPartition(id string, in Inputs) string { return "PARTUUID=" + in.Seed.UUID(partitionSeed+id) }

// partitionSeed begins the names under which the UUIDs of new partitions are drawn.
const partitionSeed = "partition "

const saltSize = 32

// existing checks a device made of partitions of the base image.
func existing(v *Verity, at string, f *machine.Facts) (problems []plan.Problem) {
	bad := func(key, format string, args ...any) {
		problems = append(problems, plan.Problem{Step: at + "." + key, Text: fmt.Sprintf(format, args...)})
	}
	data, err := disk.Find(f.Volumes, v.DataDevice.source())
	if err != nil {
		bad("dataDevice", "no partition of the image is %s", v.DataDevice.source())
	}
	hash, err := disk.Find(f.Volumes, v.HashDevice.source())
	if err != nil {
		bad("hashDevice", "no partition of the image is %s", v.HashDevice.source())
	}
	if data == nil || hash == nil {
		return problems
	}
	mounted := f.FilesystemOf(v.mount())
	switch need := verity.Size(data.Size / verity.BlockSize); {
	case mounted.MountPoint != v.mount() || mounted.Partition != data.Number:
		bad("dataDevice", "partition %d is not mounted at %s, where a verity device called %s belongs", data.Number, v.mount(), v.Name)
	case slices.ContainsFunc(f.Filesystems, func(fs machine.Filesystem) bool { return fs.Partition == hash.Number }):
		bad("hashDevice", "partition %d is mounted: the hash tree would overwrite it", hash.Number)
	case hash.Content.Type != "" && hash.Content.Type != "DM_verity_hash":
		bad("hashDevice", "partition %d holds %s, which the hash tree would overwrite", hash.Number, hash.Content.Type)
	case data.Content.Block > 0 && data.Content.Block < verity.BlockSize:
		bad("dataDevice", "the %s of partition %d is made of blocks of %d bytes, but a verity device has blocks of %d, and the kernel would not mount it; make the filesystem anew (mkfs.ext4 -b 4096, mkfs.xfs -s size=4096), or lay the disk out anew with storage.disks",
			data.Content.Type, data.Number, data.Content.Block, verity.BlockSize)
	case need > hash.Size:
		bad("hashDevice", "partition %d is too small for the hash tree: it has %d KiB, the tree takes %d KiB", hash.Number, hash.Size>>10, need>>10)
	}
	for _, d := range f.Sealed {
		if d.Data.Number == data.Number || d.Hash.Number == hash.Number {
			bad("dataDevice", "the base image seals %s already", verity.Names[d.Device.Name])
		}
	}
	return problems
}

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

func (s PrepareVerity) String() string {
	var names []string
	for _, seal := range s.Seals {
		names = append(names, verity.Names[seal.Name])
	}
	return "prepare dm-verity for " + strings.Join(names, " and ")
}

// Check finds what the image lacks, where no packages change.
func (s PrepareVerity) Check(_ context.Context, m *machine.Machine) (problems []plan.Problem) {
	if len(s.New) == 0 || s.Changing {
		return nil
	}
	for _, l := range verityNeeds(m, s.inline()) {
		problems = append(problems, plan.Problem{Text: l.what, Hint: l.hint})
	}
	return problems
}

func (s PrepareVerity) inline() bool {
	return slices.ContainsFunc(s.Seals, func(x image.Seal) bool { return x.Data == x.Hash })
}

// lack is something that an image needs and lacks.
type lack struct{ what, hint string }

// verityNeeds lists what of verity's needs the image lacks. The devices are set up by systemd in the
// initramfs, where dracut puts it.
func verityNeeds(m *machine.Machine, inline bool) (missing []lack) {
	const service = "/usr/lib/systemd/systemd-veritysetup"
	packages := map[string]string{"dracut": "dracut", "dmsetup": "device-mapper", service: "systemd-udev or cryptsetup"}
	if m.Facts.PackageManager == "apt" {
		packages = map[string]string{"dracut": "dracut", "dmsetup": "dmsetup", service: "systemd (systemd-cryptsetup since Debian 13)"}
	}
	need := func(ok bool, what, pkg string) {
		if !ok {
			missing = append(missing, lack{what, "install " + pkg})
		}
	}
	need(m.Has("dracut"), "dm-verity is set up by systemd in the initramfs, which dracut must make; the image has no dracut", packages["dracut"])
	need(m.Has("dmsetup"), "the image has no dmsetup, which dracut needs for dm-verity", packages["dmsetup"])
	program, err := m.Root.ReadFile(service)
	need(err == nil, "the image has no "+service, packages[service])
	if m.Has("dracut") {
		need(hasDracutModule(m, "systemd-veritysetup"), "the image's dracut has no module systemd-veritysetup", "a newer dracut (053 has it)")
	}
	for _, k := range kernelsWithout(m, "dm-verity") {
		missing = append(missing, lack{"kernel " + k + " has no module dm-verity", "install a kernel package that has it"})
	}
	if inline && err == nil && !strings.Contains(string(program), "hash-offset") {
		missing = append(missing, lack{"the image's systemd is older than 254, and finds no hash tree behind a filesystem", "give the hash tree a partition of its own"})
	}
	return missing
}

func hasDracutModule(m *machine.Machine, name string) bool {
	entries, _ := m.Root.ReadDir("/usr/lib/dracut/modules.d")
	for _, e := range entries {
		if n := strings.TrimLeft(e.Name(), "0123456789"); n == name {
			return true
		}
	}
	return false
}

// kernelsWithout lists the kernels that have a module neither built in nor as a file.
func kernelsWithout(m *machine.Machine, module string) (versions []string) {
	kernels, _ := boot.Kernels(m.Root)
	for _, k := range kernels {
		found := false
		for _, list := range []string{"/modules.dep", "/modules.builtin"} {
			text, _ := m.Root.ReadFile(k.Modules + list)
			found = found || strings.Contains(string(text), "/"+module+".ko")
		}
		if !found {
			versions = append(versions, k.Version)
		}
	}
	return versions
}

// GRUB's defaults for a sealed root: its name, for when the boot entries are generated again.
var sealedDefaults = []string{"GRUB_DEVICE=" + verity.Node("root"), "GRUB_DISABLE_LINUX_UUID=true", "GRUB_DISABLE_LINUX_PARTUUID=true"}

// ForgetVerity takes out of an image what made it use the verity devices of its old disk.
type ForgetVerity struct{}

// Name identifies the step.
func (ForgetVerity) Name() string { return "verity.forget" }

func (ForgetVerity) String() string { return "forget the dm-verity devices of the old disk" }

// Run edits GRUB's defaults; /etc/fstab and the boot entries are made anew anyway.
func (ForgetVerity) Run(_ context.Context, m *machine.Machine) error {
	for _, line := range sealedDefaults {
		if err := dropLine(m.Root, grubDefault, line); err != nil {
			return err
		}
	}
	return nil
}

const (
	fstabFile   = "/etc/fstab"
	grubDefault = "/etc/default/grub"
	dracutDir   = "/etc/dracut.conf.d"
)

// Run has the initramfs set the devices up and fstab mount them.
func (s PrepareVerity) Run(_ context.Context, m *machine.Machine) error {
	if len(s.New) == 0 {
		return nil
	}
	if missing := verityNeeds(m, s.inline()); len(missing) > 0 {
		return fmt.Errorf("%s: %s", missing[0].what, missing[0].hint)
	}
	if err := m.Root.AppendLines(dracutDir+"/systemd-veritysetup.conf", 0o644, `add_dracutmodules+=" systemd-veritysetup "`, `add_drivers+=" dm-verity "`); err != nil {
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
	text, _ := m.Root.ReadFile(fstabFile)
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
		if err := mountBootEarly(m); err != nil {
			return err
		}
	}
	if err := d.mountIn(m); err != nil {
		return err
	}
	if d.Mount != "/" || !m.Root.Exists(grubDefault) {
		return nil
	}
	return m.Root.AppendLines(grubDefault, 0o644, sealedDefaults...)
}

// mountIn has fstab mount the device, read-only: a line that does not say so would have systemd fail
// to remount it.
func (d PreparedDevice) mountIn(m *machine.Machine) error {
	text, err := m.Root.ReadFile(fstabFile)
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
			return m.Root.WriteFile(fstabFile, []byte(f.String()), 0o644)
		}
	}
	return fmt.Errorf("%s has no line for %s", fstabFile, d.Mount)
}
