// Package job is what the supervisor and its worker say to each other: a job one way; events, log records
// and one result the other way. Everything in it is data, so that a worker may run elsewhere.
//
// The rule of the supervisor: a worker handles what an image holds, and may have been taken over by it. The worst that one
// can do with what it says is to make the run fail, or never end. So its messages are bounded in size and number, each is
// looked at before anything is done by it, and what a result lacks is a failure; its exit status is one of a failure, and
// nothing is published that it has not written. Texts are shown as what they are, texts (package printable).
package job

import (
	"fmt"
	"os"
	"time"

	"imagecustomizer/internal/artifact"
	"imagecustomizer/internal/compose"
	"imagecustomizer/internal/diskformat"
	"imagecustomizer/internal/image"
	"imagecustomizer/internal/output"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/secret"
	"imagecustomizer/internal/seed"
	"imagecustomizer/internal/step"
)

// Kind is what a worker is to do.
type Kind string

// The kinds of jobs.
const (
	Examine   Kind = "examine"   // find out what a worker can do on this host
	Verify    Kind = "verify"    // look for what is wrong with an image
	Inspect   Kind = "inspect"   // say what an image holds of the machine on which it was made
	Convert   Kind = "convert"   // write the outputs of an image as it is
	Customize Kind = "customize" // change an image and write the outputs
	Remake    Kind = "remake"    // write ISO images of an ISO image with the same system
	Inject    Kind = "inject"    // put files into an image and write the outputs
)

// Job is what the supervisor asks the worker to do.
type Job struct {
	Kind      Kind
	Image     Image
	Config    *step.Config     // decoded and valid; the worker reads no config file
	Parts     *compose.Sources // what Config is made of, where it depends on what the image is
	ConfigDir string           // directory of the config file, which the paths in it are relative to
	Resources []Resource
	Outputs   []*Output
	Artifacts *Artifacts           // nil where there are to be none
	Files     []artifact.Injection // to put into the image

	Secrets []secret.Secret // which must not be in the result

	RPMSources, DebSources []pkgmgr.Source
	NoBaseRepos            bool

	Hidden  []string // files of the host that the worker does not see
	Signing Signing
	Signer  Signer `json:"-"` // answers what the worker asks; nil where it is not to ask

	DryRun  bool // only plan
	Now     time.Time
	Version string
	Fixed   bool      // the same inputs give the same bytes: times are Now
	Seed    seed.Seed // of identifiers and salts
}

// Image is the image that a job begins with.
type Image struct {
	Path   string // absolute; empty where the working disk holds the image already
	Format diskformat.Image
	Root   image.Choice
}

// NewDisk tells whether the system gets a disk made from scratch.
func (j *Job) NewDisk() bool { return j.Config != nil && len(j.Config.Storage.Disks) > 0 }

// Installs tells whether packages are added or updated, as far as that is known.
func (j *Job) Installs() bool {
	return j.Parts != nil || j.Config != nil && j.Config.AddsPackages()
}

// Role is what a resource is to a job.
type Role string

// Roles of files without a name, which the supervisor has open and hands over.
const (
	Disk    Role = "disk"    // becomes the working disk
	Changes Role = "changes" // gets only what differs between the working disk and the image, which is read where it is
	Former  Role = "former"  // becomes the disk of the image, where the working disk is a new one
	Scratch Role = "scratch" // gets a filesystem for temporary files
	Written Role = "written" // gets an output
	ToSign  Role = "to sign" // gets programs that are to be signed
)

// Roles of files and directories that the worker knows by their path.
const (
	Read  Role = "read"  // is only read
	Cache Role = "cache" // keeps downloads for other runs
)

// Resource is something of the host that a job needs.
type Resource struct {
	Name   string // unique among those of a job
	Role   Role
	Path   string `json:",omitempty"` // empty for a file that is handed over
	File   int    `json:",omitempty"` // its number among those handed over
	Format string `json:",omitempty"` // of what is to be in it

	handle *os.File
}

// Hand adds an open file that the worker gets, and returns its name.
func (j *Job) Hand(role Role, file *os.File, format string) string {
	r := Resource{Name: string(role), Role: role, File: len(j.handed()), Format: format, handle: file}
	for n := 2; j.resource(r.Name) != nil; n++ {
		r.Name = fmt.Sprintf("%s %d", role, n)
	}
	j.Resources = append(j.Resources, r)
	return r.Name
}

// Show adds files and directories that the worker reads, or may write, where they are.
func (j *Job) Show(role Role, paths ...string) {
	for _, p := range paths {
		if p != "" && j.resource(p) == nil {
			j.Resources = append(j.Resources, Resource{Name: p, Role: role, Path: p})
		}
	}
}

// handed are the files handed over, in the order of their numbers.
func (j *Job) handed() (files []*os.File) {
	for _, r := range j.Resources {
		if r.Path == "" {
			files = append(files, r.handle)
		}
	}
	return files
}

func (j *Job) resource(name string) *Resource {
	for i, r := range j.Resources {
		if r.Name == name {
			return &j.Resources[i]
		}
	}
	return nil
}

// Path is where the resource with that role lies; empty where there is none.
func (j *Job) Path(role Role) string {
	for _, r := range j.Resources {
		if r.Role == role {
			return r.Path
		}
	}
	return ""
}

// Has tells whether there is a resource with that role.
func (j *Job) Has(role Role) bool {
	for _, r := range j.Resources {
		if r.Role == role {
			return true
		}
	}
	return false
}

// Artifacts are what is to be signed of the image, as a directory.
type Artifacts struct {
	Kinds    []artifact.Kind
	Path     string // absolute, that the directory will have
	Resource string // that an archive of it is written into

	Pending *output.Pending `json:"-"` // where the supervisor made it; nil in the worker
}

// Output is one output file, from the command line until it has its name.
type Output struct {
	Format   diskformat.Format
	Path     string // absolute, that it will have
	Checksum bool   // a file with its checksum is written beside it
	Keep     bool   // an older file of that name is never replaced
	Level    int    // of compression; 0 means the format's own
	Shrunk   bool   // of the disk with its filesystems shrunk

	Split     output.Split // not empty: only this partition, if there is one, and no format
	Partition int
	Seed      bool // the ISO image with the seed of cloud-init, and no format

	Resource string // that it is written into; that of the working disk becomes the output itself

	Original *output.Original `json:"-"` // that it replaces, where it is one that the job reads
	Pending  *output.Pending  `json:"-"` // where the supervisor made it; nil in the worker
}

// String names the kind of output.
func (o *Output) String() string {
	if o.Seed {
		return "ISO image with the seed of cloud-init"
	}
	if o.Split != "" {
		return fmt.Sprintf("%s, partition %d", o.Split, o.Partition)
	}
	return o.Format.Name
}

// Create makes the output, without a name as yet.
func (o *Output) Create() (err error) {
	switch {
	case o.Original != nil:
		o.Pending, err = output.Replace(o.Original)
	case o.Format.Folder:
		o.Pending, err = output.CreateFolder(o.Path)
	default:
		o.Pending, err = output.Create(o.Path, o.Keep)
	}
	return err
}

// OfDisk tells whether it is the whole disk, in a format.
func (o *Output) OfDisk() bool { return o.Split == "" && !o.Seed }

// InPlace tells whether the working disk becomes the output.
func (o *Output) InPlace() bool { return o.Resource == string(Disk) }

// Step names the step that writes the output.
func (o *Output) Step() string {
	if o.Seed {
		return "output.seedImage"
	}
	if o.Split != "" {
		return fmt.Sprintf("output.partition-%d", o.Partition)
	}
	return "output." + o.Format.Name
}
