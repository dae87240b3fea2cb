package cli

import (
	"os"
	"strings"
	"time"

	"imagecustomizer/internal/app"
	"imagecustomizer/internal/compose"
)

// sourceFlags say where packages come from.
type sourceFlags struct {
	RPMSource                []string `name:"rpm-source" sep:"none" help:"Folder of RPM packages, or .repo file, for this run only; repeatable, or several with commas between, a later one beats an earlier one." placeholder:"PATH"`
	DebSource                []string `name:"deb-source" sep:"none" help:"Folder of .deb packages, or .list or .sources file, for this run only; repeatable, or several with commas between, a later one beats an earlier one." placeholder:"PATH"`
	DisableBaseImageRPMRepos bool     `name:"disable-base-image-rpm-repos" help:"Do not use the repositories that the image itself names."`
}

// listed are the paths of a flag that takes lists with commas. What exists as it is written is one path.
func listed(values []string) (paths []string) {
	for _, v := range values {
		if _, err := os.Lstat(v); err == nil {
			paths = append(paths, v)
			continue
		}
		paths = append(paths, strings.Split(v, ",")...)
	}
	return paths
}

// rootFlags name the root of an image with more than one filesystem that could be it.
type rootFlags struct {
	RootDevice    string `help:"Partition of the image's root where it cannot be told which it is: its number, or a name as in fstab (UUID=..., LABEL=...)." placeholder:"DEVICE"`
	RootSubvolume string `help:"Path of the btrfs subvolume that is the image's root, where it cannot be told." placeholder:"PATH"`
}

func (f rootFlags) choice() app.RootChoice {
	return app.RootChoice{Device: f.RootDevice, Subvolume: f.RootSubvolume}
}

// composeFlags choose and set what a config leaves open.
type composeFlags struct {
	Profile []string `sep:"none" help:"Profile of the config to apply; repeatable, a later one comes after an earlier one." placeholder:"NAME"`
	Set     []string `sep:"none" help:"Give a variable of the config a value; repeatable." placeholder:"NAME=VALUE"`
	SetFile []string `sep:"none" help:"Give a variable of the config the text of a file, without its last line break; repeatable." placeholder:"NAME=FILE"`
	Vars    []string `sep:"none" help:"YAML file with values of variables; repeatable, a later one wins. Names that the config does not declare are left out, with a warning." placeholder:"FILE"`

	MatrixSelect []string `sep:"none" help:"Entries of the config's matrix: those with all these values, of which several of one name are alternatives; repeatable, for the entries of any. Default: all." placeholder:"NAME=VALUE,..."`
}

func (f composeFlags) options() compose.Options {
	return compose.Options{Profiles: f.Profile, Set: f.Set, SetFiles: f.SetFile, Vars: f.Vars, Select: f.MatrixSelect}
}

// workFlags are those of commands that change an image.
type workFlags struct {
	BuildDir        string `help:"Folder for temporary files; made if missing. Nothing stays in it. Default: TMPDIR, or /var/tmp; the files have no name there." placeholder:"DIR"`
	PackageCacheDir string `help:"Folder where package downloads are kept between runs: what was used within 90 days, and 8 GiB at most. Default: imagecustomizer/packages in the user's cache folder." placeholder:"DIR"`
	Checksum        bool   `help:"Write a .sha256 file beside each image."`
	NoClobber       bool   `help:"Fail where an output exists already. Without it, an older file is replaced when the new one is complete."`
	DryRun          bool   `short:"n" help:"Read the image, print what would be done, step by step, and change nothing."`
	Seed            string `help:"Make identifiers and salts from this text, not at random. With SOURCE_DATE_EPOCH set too, the same inputs give the same files." placeholder:"TEXT"`
}

func (f workFlags) apply(o *app.CustomizeOptions) {
	o.BuildDir, o.PackageCache, o.Checksum, o.NoClobber, o.DryRun, o.Seed = f.BuildDir, f.PackageCacheDir, f.Checksum, f.NoClobber, f.DryRun, f.Seed
}

type customizeCmd struct {
	ConfigFile        string   `required:"" help:"Config file, YAML or JSON. Relative paths in it are relative to its folder. For - it is read from standard input, and they are relative to the working folder." placeholder:"FILE"`
	ImageFile         string   `help:"Base image: ${readable}, or an ISO image of this program. Never modified. Default: input.image.path of the config." placeholder:"FILE"`
	OutputImageFile   string   `aliases:"output-path" help:"Image to write. Default: output.image.path of the config." placeholder:"FILE"`
	OutputImageFormat string   `help:"Format of the image to write: ${formats}. Default: output.image.format of the config, then what the ending of the file's name says." placeholder:"FORMAT"`
	Output            []string `sep:"none" help:"A further image to write, as FORMAT=PATH; repeatable. All are written side by side." placeholder:"FORMAT=PATH"`

	OutputSplitPartitionsFormat string `enum:",raw,raw-zstd" default:"" help:"Write each partition to a file of its own: raw or raw-zstd. The whole image is written too where --output-image-format is given. Their names are that of --output-image-file with _1.raw, _2.raw, ... in place of its ending, by partition number." placeholder:"FORMAT"`
	ShrinkFilesystems           bool   `help:"Shrink filesystems and their partitions before they are written with --output-split-partitions-format. Not with --output-image-format."`
	COSICompressionLevel        int    `name:"cosi-compression-level" help:"Level of zstd for the formats cosi (default 9) and baremetal-image (default 22): 1 to 22." placeholder:"LEVEL"`

	composeFlags
	sourceFlags
	rootFlags

	NoTest bool `help:"Do not boot the outputs, whatever the config's section test says."`
	recordFlags
	workFlags

	SetfilesContext string `help:"Accepted for compatibility: setfiles only tells labels, which this program writes itself, and so needs no context of its own." placeholder:"CONTEXT"`

	AllowBackingFile  bool `help:"Accept a base image that refers to further files (a backing file or an external data file)."`
	List              bool `help:"Print the entries of the config's matrix that are selected, and do nothing. Needs no root."`
	AllowHostCommands bool `help:"Let the config run commands on this host: those that print its secrets."`
}

// Run customizes an image.
func (c *customizeCmd) Run(s *session) error {
	if c.List {
		return app.ListMatrix(c.ConfigFile, c.options(), s.ui, s.stdout)
	}
	o := app.CustomizeOptions{
		ConfigFile: c.ConfigFile, ImageFile: c.ImageFile,
		OutputFile: c.OutputImageFile, OutputFormat: c.OutputImageFormat, Outputs: c.Output,
		SplitFormat: c.OutputSplitPartitionsFormat, ShrinkFilesystems: c.ShrinkFilesystems, COSILevel: c.COSICompressionLevel,
		RPMSources: listed(c.RPMSource), DebSources: listed(c.DebSource), NoBaseRepos: c.DisableBaseImageRPMRepos,
		AllowBackingFile: c.AllowBackingFile, Root: c.choice(), Compose: c.options(), NoTest: c.NoTest, Records: c.records(),
		AllowHostCommands: c.AllowHostCommands,
	}
	c.apply(&o)
	return app.Customize(s.ctx, o, s.ui, s.stdout)
}

type convertCmd struct {
	ImageFile         string   `required:"" help:"Image to read: ${readable}." placeholder:"FILE"`
	OutputImageFile   string   `aliases:"output-path" help:"Image to write." placeholder:"FILE"`
	OutputImageFormat string   `help:"Format of the image to write: ${convertible}. Default: what the ending of the file's name says." placeholder:"FORMAT"`
	Output            []string `sep:"none" help:"A further image to write, as FORMAT=PATH; repeatable." placeholder:"FORMAT=PATH"`
	BuildDir          string   `help:"Folder for temporary files, for the formats cosi and baremetal-image only. Default: TMPDIR, or /var/tmp." placeholder:"DIR"`
	COSILevel         int      `name:"cosi-compression-level" help:"Level of zstd for the formats cosi (default 9) and baremetal-image (default 22): 1 to 22." placeholder:"LEVEL"`
	AllowBackingFile  bool     `help:"Accept an image that refers to further files."`
	Checksum          bool     `help:"Write a .sha256 file beside each image."`
	NoClobber         bool     `help:"Fail where an output exists already. Without it, an older file is replaced when the new one is complete."`

	rootFlags
}

// Run converts an image.
func (c *convertCmd) Run(s *session) error {
	return app.Convert(s.ctx, app.ConvertOptions{
		ImageFile: c.ImageFile, OutputFile: c.OutputImageFile, OutputFormat: c.OutputImageFormat,
		Outputs: c.Output, BuildDir: c.BuildDir, COSILevel: c.COSILevel, AllowBackingFile: c.AllowBackingFile,
		Checksum: c.Checksum, NoClobber: c.NoClobber, Root: c.choice(),
	}, s.ui)
}

type injectFilesCmd struct {
	ConfigFile        string `required:"" help:"List of the files to put into the image, as output.artifacts writes it: inject-files.yaml." placeholder:"FILE"`
	ImageFile         string `required:"" help:"Image to put them into: ${readable}." placeholder:"FILE"`
	BuildDir          string `help:"Folder for temporary files. Default: TMPDIR, or /var/tmp." placeholder:"DIR"`
	OutputImageFile   string `aliases:"output-path" help:"Image to write. Default: --image-file, which is replaced when the new image is complete." placeholder:"FILE"`
	OutputImageFormat string `help:"Format of the image to write: ${convertible}. Default: that of the image." placeholder:"FORMAT"`
	COSILevel         int    `name:"cosi-compression-level" help:"Level of zstd for the formats cosi (default 9) and baremetal-image (default 22): 1 to 22." placeholder:"LEVEL"`
	AllowBackingFile  bool   `help:"Accept an image that refers to further files."`
	Checksum          bool   `help:"Write a .sha256 file beside the image."`

	rootFlags
}

// Run puts files into an image.
func (c *injectFilesCmd) Run(s *session) error {
	return app.InjectFiles(s.ctx, app.InjectOptions{
		ConfigFile: c.ConfigFile, ImageFile: c.ImageFile, BuildDir: c.BuildDir, OutputFile: c.OutputImageFile, OutputFormat: c.OutputImageFormat,
		COSILevel: c.COSILevel, AllowBackingFile: c.AllowBackingFile, Checksum: c.Checksum, Root: c.choice(),
	}, s.ui)
}

type validateCmd struct {
	ConfigFile        string   `required:"" help:"Config file to check; - reads standard input." placeholder:"FILE"`
	ValidateResources []string `enum:"files,oci,all" help:"What to check besides the config itself: files (every file it names exists and can be read), oci (nothing yet: a config cannot name an image of a registry), all." placeholder:"KIND"`
	BuildDir          string   `help:"Accepted for compatibility." placeholder:"DIR"`

	composeFlags
}

// Run checks a config file.
func (c *validateCmd) Run(s *session) error {
	return app.Validate(app.ValidateOptions{ConfigFile: c.ConfigFile, Compose: c.options(), Resources: c.ValidateResources}, s.ui, s.stdout)
}

// lookFlags are those of commands that only look at an image.
type lookFlags struct {
	Image            string `arg:"" help:"Image to look into: ${readable}. It is copied, never modified." placeholder:"IMAGE"`
	BuildDir         string `help:"Folder for the copy. Default: TMPDIR, or /var/tmp." placeholder:"DIR"`
	AllowBackingFile bool   `help:"Accept an image that refers to further files."`

	rootFlags
}

func (f lookFlags) options() app.LookOptions {
	return app.LookOptions{ImageFile: f.Image, BuildDir: f.BuildDir, AllowBackingFile: f.AllowBackingFile, Root: f.choice()}
}

type verifyCmd struct {
	lookFlags
	Format string `default:"text" enum:"text,json" help:"Form of what is found: text, or json (one finding a line)." placeholder:"FORMAT"`
}

// Run verifies an image.
func (c *verifyCmd) Run(s *session) error {
	return app.Verify(s.ctx, app.VerifyOptions{LookOptions: c.options(), Format: c.Format}, s.ui, s.stdout)
}

type inspectCmd struct {
	lookFlags
	Identity bool   `required:"" help:"List what is of the machine on which the image was made: what clones would share, such as the machine identifier and SSH host keys, and what was left behind, such as logs. See [generalize](generalize.md)."`
	Format   string `default:"text" enum:"text,json" help:"Form of what is found: text or json." placeholder:"FORMAT"`
}

// Run inspects an image.
func (c *inspectCmd) Run(s *session) error {
	return app.Inspect(s.ctx, app.InspectOptions{LookOptions: c.options(), Format: c.Format}, s.ui, s.stdout)
}

type bootCmd struct {
	Image            string        `arg:"" help:"Image to boot: ${readable}." placeholder:"IMAGE"`
	UntilLogin       bool          `help:"End, with success, when the guest asks for a user name; nothing can be typed."`
	Timeout          time.Duration `default:"10m" help:"How long to wait for that."`
	Firmware         string        `default:"auto" enum:"auto,uefi,bios" help:"What starts the boot loader: ${enum}; auto is what the partition table asks for."`
	As               string        `default:"" enum:",disk,cd,usb" help:"What the image is to the guest: disk, cd or usb (a stick). Default: cd for an ISO image, else disk." placeholder:"KIND"`
	Keep             string        `help:"Keep what the guest writes in this new qcow2 file, which has the image as its backing file. Default: it is forgotten." placeholder:"FILE"`
	Memory           int           `default:"1024" help:"Memory of the guest in MiB." placeholder:"MIB"`
	CPUs             int           `name:"cpus" default:"2" help:"Processors of the guest." placeholder:"N"`
	SSHPort          int           `help:"Port of this host's loopback interface that leads to the guest's port 22." placeholder:"PORT"`
	AllowBackingFile bool          `help:"Accept an image that refers to further files."`
}

// Run boots an image.
func (c *bootCmd) Run(s *session) error {
	o := app.BootOptions{
		ImageFile: c.Image, UntilLogin: c.UntilLogin, Timeout: c.Timeout, AllowBackingFile: c.AllowBackingFile,
		Memory: c.Memory, CPUs: c.CPUs, SSHPort: c.SSHPort, As: c.As, Keep: c.Keep,
	}
	if c.Firmware != "auto" {
		o.Firmware = c.Firmware
	}
	return app.Boot(s.ctx, o, os.Stdin, s.tty)
}

type doctorCmd struct {
	JSON bool `name:"json" help:"Print one JSON object a line for each need."`
}

// Run examines the host.
func (c *doctorCmd) Run(s *session) error { return app.Doctor(s.ctx, c.JSON, s.stdout) }
