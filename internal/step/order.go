package step

import (
	"cmp"
	"slices"
	"strings"

	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/feature/files"
	"imagecustomizer/internal/feature/live"
	"imagecustomizer/internal/feature/scripts"
	"imagecustomizer/internal/feature/secureboot"
	"imagecustomizer/internal/feature/selinux"
	"imagecustomizer/internal/feature/storage"
	"imagecustomizer/internal/feature/system"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// order is the whole run, in its order. What stands between the two halves are the sections of os that have no place of
// their own here, in the order of their fields: where packages have brought what they need, and before scripts.
func (c *Config) order() []Place {
	s, dns, live := &c.Storage, &system.NameServers{}, live.LiveMedia{ISO: &c.ISO, PXE: &c.PXE}
	post := scripts.Phase{Name: "postCustomization", List: c.Scripts.PostCustomization}
	final := scripts.Phase{Name: "finalizeCustomization", List: c.Scripts.FinalizeCustomization, After: post.Used()}
	before := []Place{
		{"storage.disks", storage.Disks{Storage: s}, "all else is done on it"},
		{"storage.resetPartitionsUuidsType", storage.Identifiers{Storage: s}, "everything below may name them"},
		{"storage.resizeDisk", storage.Resize{Storage: s}, "packages may need the space"},
		{"the build host's name servers", feature.Always(dns.PlanOverride), "package managers and scripts need them"},
		{"sources of packages", feature.Always(c.flat().OS.Packages.PlanSources), "they must be of use for the image"},
		{"rounds", c.Rounds, "everything below builds on them"},
		{"os.packages", c.OS.Packages, "first, since they bring the programs, groups and units that the rest uses"},
		{"a look at what live media need", feature.Always(live.PlanCheck), "packages may bring it"},
	}
	behind := []Place{
		{"os.imageHistory", c.OS.ImageHistory, "before scripts, which may read or remove the record"},
		{"os.kernelCommandLine", c.OS.KernelCommandLine, "with all other kernel arguments"},
		{"kernel arguments of all sections", feature.Always(booting.PlanKernelArgs), "packages bring kernels, and files may be /etc/default/grub"},
		{"os.bootloader", c.OS.Bootloader, "instead of them: it sets the arguments too"},
		{"os.selinux", c.OS.SELinux, "packages bring policies"},
		{"os.overlays", c.OS.Overlays, "packages bring fstab and semanage"},
		{"storage.verity", storage.Sealing{Storage: s}, "packages and files bring fstab and what is needed"},
		{"the initramfs", feature.Always(booting.PlanInitramfs), "once, with the settings of what it stands behind"},
		{"name servers again", feature.Always(dns.PlanRefresh), "packages may have taken away what scripts need"},
		{"scripts.postCustomization", post, "they see everything above"},
		{"the image's own name servers", feature.Always(dns.PlanRestore), "its resolv.conf must be there at the end"},
		{"SELinux labels", feature.Always(selinux.PlanRelabel), "all files that are made need one"},
		{"scripts.finalizeCustomization", final, "they have the last word"},
		{"os.generalize", c.OS.Generalize, "scripts leave traces too, and what it makes gets a label"},
		{"signing.secureBoot", secureboot.Kernels{SecureBoot: &c.Signing.SecureBoot}, "nothing changes a kernel any more; what lies on the EFI system partition is signed at the very end"},
		{"a look for a kernel", feature.Always(booting.PlanCheckKernel), "without one the image does not boot"},
		{"the system of live media", feature.Always(live.PlanPrepare), "its initramfs holds what everything above has left"},
		{"a look for drivers", feature.Always(booting.PlanTargets), "no kernel comes or goes any more"},
		{"os.uki", c.OS.UKI, "all that is in unified kernel images is as it stays"},
		{"a look at free space", feature.Always(storage.PlanLowSpace), "everything is written"},
	}
	return slices.Concat(before, sections("os", &c.OS, before, behind), behind)
}

// Order is the whole run, for what is generated from it.
func Order() []Place { return new(Config).order() }

// elsewhere are the sections that are no feature of their own, and what reads them.
var elsewhere = map[string]string{
	"input":                      "the base image, which is there before all steps",
	"output":                     "the outputs, written when all steps are done",
	"baseConfigs":                "all sections: they are those of all files",
	"test":                       "the outputs, which are booted before they get their names",
	"previewFeatures":            "nothing: it is accepted for compatibility",
	"iso":                        "the system of live media",
	"pxe":                        "the system of live media",
	"signing.keys":               "signing.secureBoot",
	"storage.bootType":           "storage.disks",
	"storage.filesystems":        "storage.disks",
	"storage.shrink":             "the outputs, which are written from what it leaves",
	"storage.reinitializeVerity": "storage.verity",
}

// given gathers what features must know of other sections.
func (c *Config) given(f *machine.Facts, in feature.Inputs) *feature.Given {
	whole := c.flat()
	p, post, final := &whole.OS.Packages, len(whole.Scripts.PostCustomization), len(c.Scripts.FinalizeCustomization)
	g := &feature.Given{
		Inputs: in, Facts: f, Item: c.item, Describe: func() (map[string]any, error) { return DescribeConfig(c) }, Lowered: c.Lowered,
		NewDisk: len(c.Storage.Disks) > 0, BootType: c.Storage.BootType, Renamed: c.Storage.ResetUUIDs != "",
		GrowDisk: c.Storage.ResizeDisk != nil && c.Storage.ResizeDisk.Auto,
		Free:     func(fs machine.Filesystem) uint64 { return c.Storage.ResizeDisk.Free(fs, f) },
		Packages: p.Used(), UpdateAll: p.UpdateExisting, Installs: p.AllInstall(),
		Files: files.SuppliedBy(whole.OS.AdditionalFiles, whole.OS.AdditionalDirs), Args: booting.SplitArgs(c.OS.KernelCommandLine.Extra),
		Reset: c.OS.Bootloader.Used(), Unified: c.OS.UKI.Creates(), SELinux: c.OS.SELinux.Mode, Hostname: string(c.OS.Hostname), Scripts: post+final > 0, Post: post > 0,
		SeedApart: c.Output.SeedImage.Text != "",
	}
	g.SealedRoot = c.sealsRoot(f)
	for _, o := range c.OS.Overlays {
		g.Overlaid = append(g.Overlaid, string(o.MountPoint))
		g.EtcEarly = g.EtcEarly || o.MountPoint == "/etc" && o.IsInitrdOverlay
	}
	for _, u := range whole.OS.Users {
		g.Users = append(g.Users, string(u.Name))
		if u.Password != nil && u.Password.Type != "locked" {
			g.Passwords = append(g.Passwords, string(u.Name))
		}
		if u.KeyCount() > 0 {
			g.Keyed = append(g.Keyed, string(u.Name))
		}
	}
	g.Mounts = c.Storage.MountPoints()
	return g
}

// sealsRoot tells whether the root of the result is sealed.
func (c *Config) sealsRoot(f *machine.Facts) bool {
	old := f != nil && len(c.Storage.Disks) == 0 && slices.ContainsFunc(f.Sealed, func(s image.Sealed) bool { return s.Device.Name == "root" })
	return old || slices.ContainsFunc(c.Storage.Verity, func(v storage.Verity) bool { return v.Name == "root" })
}

// byLayer are the sections that are carried out file by file where the config is made of several; sections that stand
// side by side are done together for each file. All others are what the files say in all.
var byLayer = []string{"os.packages", "os.groups", "os.users", "os.services"}

func (p Place) layered() bool { return ByFile(p.What) }

// ByFile tells whether the section at a path is carried out file by file.
func ByFile(path string) bool { return slices.Contains(byLayer, path) }

func (c *Config) layersOf(p Place) []*Config {
	if p.layered() {
		return c.layers()
	}
	return []*Config{c}
}

// DescribeConfig is the config with everything left out that could be secret. Both parts are always there, as in the
// reference.
func DescribeConfig(c *Config) (map[string]any, error) {
	described := map[string]any{"os": map[string]any{}, "scripts": map[string]any{}}
	for _, s := range c.order() {
		v, err := s.Record()
		if err != nil {
			return nil, err
		}
		if part, key, ok := strings.Cut(s.What, "."); ok && v != nil {
			described[part].(map[string]any)[key] = v
		} else if v != nil {
			described[s.What] = v
		}
	}
	layers := c.layers()
	var bases []any
	for _, l := range layers[:len(layers)-1] {
		bases = append(bases, map[string]any{"path": l.Layer.File, "sha256hash": l.Layer.Hash})
	}
	if len(bases) > 0 {
		described["baseConfigs"] = bases
	}
	return described, nil
}

// Plan turns a config into the steps for an image, or into the reasons why it cannot be carried out
// there. It changes nothing and asks nobody.
func Plan(c *Config, f *machine.Facts, in feature.Inputs) (p plan.Plan, problems []plan.Problem) {
	g, places := c.given(f, in), c.order()
	for _, place := range places {
		if place.Used() {
			problems = append(problems, place.hidden(g)...)
		}
	}
	for i := 0; i < len(places); {
		n := 1 + slices.IndexFunc(places[i+1:], func(p Place) bool { return p.layered() != places[i].layered() })
		if n == 0 {
			n = len(places) - i
		}
		for _, l := range c.layersOf(places[i]) {
			g.Item = l.item
			of := places
			if l != c {
				of = l.order()
			}
			for _, place := range of[i : i+n] {
				if place.Used() {
					steps, why := place.Plan(g)
					steps = c.Rounds.behind(place, steps)
					p, problems = append(p, steps...), append(problems, place.ask(in.Asked, steps, why)...)
				}
			}
		}
		i += n
	}
	p, why := withoutPrograms(p, f)
	return checkedAgain(p), append(problems, why...)
}

// ask notes that the section asks for steps, and gives problems its place that have none.
func (p Place) ask(asked map[string]string, steps plan.Plan, problems []plan.Problem) []plan.Problem {
	if strings.Contains(p.What, " ") {
		return problems
	}
	for _, s := range steps {
		if _, known := asked[s.Name()]; !known && asked != nil {
			asked[s.Name()] = p.What
		}
	}
	for i := range problems {
		problems[i].Path = cmp.Or(problems[i].Path, p.What)
	}
	return problems
}
