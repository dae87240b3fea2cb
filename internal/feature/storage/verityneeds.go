package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/boot"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/pkgmgr/probe"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/rootfs"
	"imagecustomizer/internal/verity"
)

// existing checks a device made of partitions of the base image.
func existing(v *Verity, at string, f *machine.Facts) (problems []plan.Problem) {
	bad := func(key, format string, args ...any) {
		problems = append(problems, plan.Problem{Path: at + "." + key, Text: fmt.Sprintf(format, args...)})
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
	case data.Block > 0 && data.Block < verity.BlockSize:
		bad("dataDevice", "the %s of partition %d is made of blocks of %d bytes, but a verity device has blocks of %d, and the kernel would not mount it; make the filesystem anew (mkfs.ext4 -b 4096, mkfs.xfs -s size=4096), or lay the disk out anew with storage.disks",
			data.Content.Type, data.Number, data.Block, verity.BlockSize)
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

// lack is something that an image needs and lacks.
type lack struct{ what, hint string }

// verityNeeds lists what of verity's needs the image lacks. The devices are set up by systemd in the
// initramfs, where dracut puts it.
func verityNeeds(m *machine.Machine, inline bool) (missing []lack) {
	const service = "/usr/lib/systemd/systemd-veritysetup"
	need := func(ok bool, what, pkg string) {
		if !ok {
			missing = append(missing, lack{what, "install " + pkg})
		}
	}
	brings := func(n pkgmgr.Need) string { return probe.PackageFor(m.Facts, n) }
	need(m.Has("dracut"), "dm-verity is set up by systemd in the initramfs, which dracut must make; the image has no dracut", brings(pkgmgr.Dracut))
	need(m.Has("dmsetup"), "the image has no dmsetup, which dracut needs for dm-verity", brings(pkgmgr.Dmsetup))
	program, err := m.Root.ReadAs(rootfs.Program, service)
	need(err == nil, "the image has no "+service, brings(pkgmgr.Veritysetup))
	if m.Has("dracut") {
		need(hasDracutModule(m, "systemd-veritysetup"), "the image's dracut has no module systemd-veritysetup", "a newer dracut (053 has it)")
	}
	for _, k := range KernelsWithout(m, "dm-verity") {
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

// KernelsWithout lists the kernels that have a module neither built in nor as a file.
func KernelsWithout(m *machine.Machine, module string) (versions []string) {
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
