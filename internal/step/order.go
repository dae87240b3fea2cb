package step

import (
	"context"
	"fmt"
	"slices"
	"time"

	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/seed"
)

// Inputs are what a plan depends on besides the config and the image's facts.
type Inputs struct {
	ToolVersion string
	Now         time.Time
	UUID        string          // identifies the result
	Seed        seed.Seed       // of all other identifiers and salts
	RPMSources  []pkgmgr.Source // of --rpm-source
	DebSources  []pkgmgr.Source // of --deb-source
	NoBaseRepos bool
	Outputs     []string // formats to write
	Live        *liveos.Maker
	MediumFiles []liveos.File // files that the base image, an ISO image, had for itself
	MediumArgs  []string      // kernel arguments that the base image, an ISO image, had for itself
	ConfigDir   string        // folder of the config file, on the build host
	Named       []string      // files and folders of the build host that the config names
}

// Plan turns a config into the steps for an image, or into the reasons why it cannot be carried out
// there. It changes nothing and asks nobody.
func Plan(c *Config, f *machine.Facts, in Inputs) (plan.Plan, []plan.Problem) {
	problems := slices.Concat(unsupported(c, f), c.kept(f), c.covered(f), checkPXE(c, in))
	newDisk, why := planNewDisk(c, f, in)
	problems = append(problems, why...)
	reset, why := planIdentifiers(c, f, in)
	problems = append(problems, why...)
	resize, why := planResize(c, f)
	problems = append(problems, why...)
	packages, why := planPackages(c, f, in)
	problems = append(problems, why...)
	args, why := planBoot(c, f)
	problems = append(problems, why...)
	sealing, why := planVerity(c, f, in)
	problems = append(problems, why...)
	post := planScripts(c.Scripts.PostCustomization, "postCustomization", false, c.supplied(), in)
	checkLive, prepareLive := planLive(c, f, in)
	record := c.recordable(planRecord(c, in), f)
	writable := len(newDisk) > 0 || !f.FilesystemOf(resolvConf).Kept
	override, refresh, restore := planDNS(writable && len(packages) > 0, writable && len(post) > 0)
	selinux, relabel := planSELinux(c, f)

	var p plan.Plan
	for _, part := range []plan.Plan{
		newDisk,                   // all else is done on it
		reset,                     // everything below may name them
		resize,                    // packages may need the space
		override,                  // package managers and scripts need DNS
		packages,                  // first, since they bring the programs, groups and units that the rest uses
		checkLive,                 // after packages, which may bring what a live medium needs
		planHostname(c),           // before scripts, which may read it
		planAccounts(c, in),       // groups before users, who may be in them; before files, so that a home folder is there
		planDirs(c),               // before files, which may replace single ones of a folder
		planFiles(c),              // before services, which may be units just copied
		planServices(c),           // after packages and files, which bring units
		planModules(c),            // after packages, whose files they edit
		record,                    // before scripts, which may read or remove the record
		args,                      // after packages, which bring kernels, and files, which may be /etc/default/grub
		selinux,                   // after packages, which bring policies
		planOverlays(c, f),        // after packages, which bring fstab and semanage
		sealing,                   // after packages and files, which bring fstab and what is needed
		planInitramfs(c, newDisk), // once, with the settings of what it stands behind
		refresh,                   // packages may have taken away what scripts need
		post,                      // sees everything above
		restore,                   // the image's own resolv.conf must be there at the end
		relabel,                   // after all that makes files
		planScripts(c.Scripts.FinalizeCustomization, "finalizeCustomization", len(post) > 0, c.supplied(), in), // has the last word
		{CheckKernel{}},  // an image without a kernel does not boot
		prepareLive,      // its initramfs holds what everything above has left
		planTargets(in),  // when no kernel comes or goes any more
		{WarnLowSpace{}}, // measured when everything is written
	} {
		p = append(p, part...)
	}
	p, why = withoutPrograms(p, f)
	return checkedAgain(p), append(problems, why...)
}

// unsupported lists the sections of the config that the image's distribution lacks.
func unsupported(c *Config, f *machine.Facts) (problems []plan.Problem) {
	used := map[string]bool{
		"os.packages":          !c.OS.Packages.empty(),
		"os.services":          len(c.OS.Services.Enable)+len(c.OS.Services.Disable) > 0,
		"os.kernelCommandLine": len(c.OS.KernelCommandLine.Extra) > 0,
		"os.selinux":           c.OS.SELinux.Mode != "",
		"os.overlays":          len(c.OS.Overlays) > 0,
		"storage.verity":       len(c.Storage.Verity) > 0,
	}
	for path, is := range used {
		if why := f.Distro.Unsupported[path]; is && why != "" {
			problems = append(problems, plan.Problem{Step: path, Text: fmt.Sprintf("%s is not supported on %s: %s", path, f.Distro.Name, why)})
		}
	}
	return problems
}

// CheckKernel fails a run that has left the image without a kernel's modules.
type CheckKernel struct{}

// Name identifies the step.
func (CheckKernel) Name() string { return "check.kernel" }

func (CheckKernel) String() string { return "check that the image still has a kernel" }

// Run looks for a version's folder of modules with something in it.
func (CheckKernel) Run(_ context.Context, m *machine.Machine) error {
	versions, err := m.Root.ReadDir("/lib/modules")
	if err != nil {
		return fmt.Errorf("the image has no kernel modules any more: %w", err)
	}
	for _, v := range versions {
		if files, err := m.Root.ReadDir("/lib/modules/" + v.Name()); err == nil && len(files) > 0 {
			return nil
		}
	}
	return fmt.Errorf("/lib/modules of the image is empty: it would not boot; was the kernel's package removed?")
}

// WarnLowSpace warns of filesystems that are nearly full.
type WarnLowSpace struct{}

// Thresholds below which a filesystem is called nearly full; both must be undercut.
const (
	lowPercent = 5
	lowBytes   = 500 << 20
)

// Name identifies the step.
func (WarnLowSpace) Name() string { return "check.space" }

func (WarnLowSpace) String() string { return "look for filesystems that are nearly full" }

// Run warns; a full filesystem is no failure.
func (WarnLowSpace) Run(_ context.Context, m *machine.Machine) error {
	for _, fs := range m.Facts.Filesystems {
		size, free, err := m.Space(fs.MountPoint)
		if err != nil {
			return err
		}
		if free < lowBytes && free*100 < size*lowPercent {
			m.Log.Warn("filesystem is nearly full", "mount", fs.MountPoint, "freeMiB", free>>20, "sizeMiB", size>>20)
		}
	}
	return nil
}
