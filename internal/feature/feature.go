// Package feature is what every section of a config answers, what it is told of the others, and what sections have in
// common. The sections themselves are in the packages below it, by subject; internal/step puts them in order.
package feature

import (
	"io"
	"time"

	"imagecustomizer/internal/liveos"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/plan"
	"imagecustomizer/internal/seed"
	"imagecustomizer/internal/signing"
)

// Feature is a section of the config and what a run does about it. Whatever must be known of every feature is a
// method here: one that forgets it does not compile.
type Feature interface {
	// Used tells whether the config asks for it. Only then its Plan is asked.
	Used() bool
	// Touches lists what it writes in the image, as far as that is known before: none of it may lie where the image
	// cannot be written, or where what is written would not be seen.
	Touches() []Touch
	// Plan turns it into steps, or into the reasons why it cannot be done to this image.
	Plan(g *Given) (plan.Plan, []plan.Problem)
	// Record is what the history of the image holds of it, without secrets; nil for nothing.
	Record() (any, error)
}

// Touch is a file or directory of the image that a feature writes.
type Touch struct {
	Path    string
	At      string // which item of the section asks for it, such as [1]; empty for all of it
	What    string // what would lie there, where it is not the path itself
	Instead string // what to write instead, where it would not be seen there
}

// Always is what a run does for several sections, or whatever the config says.
type Always func(g *Given) (plan.Plan, []plan.Problem)

// Used says that it always is.
func (Always) Used() bool { return true }

// Touches names nothing: what is asked for by a section is that section's.
func (Always) Touches() []Touch { return nil }

// Plan makes the steps.
func (a Always) Plan(g *Given) (plan.Plan, []plan.Problem) { return a(g) }

// Record is nothing: it is asked for by no section.
func (Always) Record() (any, error) { return nil, nil }

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
	SeedImage   io.Writer     // ISO image for the seed of cloud-init; nil for none
	ConfigDir   string        // directory of the config file, on the build host
	Named       []string      // files and directories of the build host that the config names

	Sign *signing.Maker // signs programs; nil where none are to be signed

	Secrets map[string]string // values of secret variables, by their names

	// Asked gets, by the names of steps, the section of the config that asks for them, where there is one.
	Asked map[string]string
}

// Given is what a feature is planned with: the image, the inputs of the run, and what other sections ask for. A feature
// sees no other section; what it must know of one is said here, once.
type Given struct {
	Inputs
	Facts    *machine.Facts
	Item     func(list string, i int) string // the path of an item of a list in the config
	Describe func() (map[string]any, error)  // the config without its secrets

	NewDisk   bool     // storage.disks: the system gets other filesystems
	Mounts    []string // that those have
	BootType  BootType
	Renamed   bool                            // storage.resetPartitionsUuidsType
	GrowDisk  bool                            // storage.resizeDisk: auto
	Free      func(machine.Filesystem) uint64 // see FreeIn
	Packages  bool                            // os.packages asks for something
	UpdateAll bool
	Installs  []string    // names of packages
	Groups    []string    // that are made by then
	Users     []string    // likewise
	Files     Supplied    // by os.additionalFiles and os.additionalDirs
	Hostname  string      // of os.hostname; empty for that of the image
	Args      []string    // of os.kernelCommandLine
	Reset     bool        // os.bootloader sets up anew what boots
	Unified   bool        // os.uki makes unified kernel images
	SELinux   SELinuxMode // of os.selinux; empty for that of the image
	Scripts   bool        // there are some
	Post      bool        // among them of postCustomization
	Lowered   bool        // the config was one of 2023

	SeedApart bool // the seed of cloud-init goes into an ISO image

	SealedRoot bool     // the root cannot be written at boot
	Overlaid   []string // folders whose changes go elsewhere
	EtcEarly   bool     // those of /etc do so before the system's first program starts
	Passwords  []string // users that get one
	Keyed      []string // users that get SSH keys

	Initramfs []string // why it is made anew
}

// FreeIn is how many bytes are free in a filesystem when the disk is as large as it is to be, at most.
func (g *Given) FreeIn(fs machine.Filesystem) uint64 {
	if g.Free == nil {
		return fs.Free
	}
	return g.Free(fs)
}

// NeedInitramfs has the initramfs made anew once everything has been done that it depends on.
func (g *Given) NeedInitramfs(why string) { g.Initramfs = append(g.Initramfs, why) }

// Labels tells whether SELinux is on in the image that is made.
func (g *Given) Labels() bool {
	if g.SELinux != "" {
		return g.SELinux != SELinuxOff
	}
	return g.Facts.SELinux != "" && g.Facts.SELinux != SELinuxOff
}
