// Package cloud is the section os.cloudInit: what cloud-init does when the system starts.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"imagecustomizer/internal/cloudinit"
	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/plan"
)

// CloudInit is what cloud-init does when the system starts.
type CloudInit struct {
	Mode        CloudInitMode `yaml:"mode" doc:"Whether it runs at all: enable, disable, or remove its package, its settings and its state; what it configured stays. Default: as in the image."`
	DataSources []DataSource  `yaml:"datasources" doc:"Where it looks for what it is to do, in this order. With one, it does not look around. Default: as in the image; with a seed, NoCloud and None." example:"[NoCloud]"`
	Seed        *CloudSeed    `yaml:"seed" doc:"What it is to do (NoCloud): in the image itself or, with output.seedImage, in an ISO image."`
	Config      CloudSettings `yaml:"config" doc:"Files of settings for /etc/cloud/cloud.cfg.d."`
	Clean       bool          `yaml:"clean" default:"false" doc:"Forget what it did in the image: its state, its logs, and the network configuration that it wrote. Its machine is a new one then."`
}

// CloudInitMode says whether cloud-init runs.
type CloudInitMode string

// Values are the modes.
func (CloudInitMode) Values() []string { return []string{"enable", "disable", "remove"} }

// DataSource is the name of a source of cloud-init.
type DataSource string

// Values are those of its versions so far.
func (DataSource) Values() []string {
	return strings.Fields(`NoCloud ConfigDrive Azure Ec2 GCE OpenStack VMware OVF AliYun Akamai AltCloud Bigstep CloudCIX CloudSigma CloudStack DigitalOcean
		Exoscale Hetzner IBMCloud LXD MAAS NWCS OpenNebula Oracle RbxCloud Scaleway SmartOS UpCloud Vultr WSL None`)
}

// CloudSetting is a file of settings.
type CloudSetting struct {
	Name    CloudFile   `yaml:"name" required:"true" doc:"Name of the file, without .cfg. Files are read in the order of their names, and the last wins." example:"95-site"`
	Path    config.Path `yaml:"path" doc:"File on the build host. Either this or content."`
	Content *string     `yaml:"content" doc:"The text, a YAML mapping. Either this or path."`
}

// CloudSettings are the files of settings of a config.
type CloudSettings []CloudSetting

// CloudFile is the name of a file of settings.
type CloudFile string

// Describe tells how the name is written.
func (CloudFile) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `^[A-Za-z0-9_][A-Za-z0-9_-]*$`, Max: 64}
}

// Validate checks the name's form.
func (n *CloudFile) Validate(at *config.At) {
	if !n.Describe().Fits(string(*n)) {
		at.Errorf("%q is not the name of a file of settings", string(*n)).Hint("use letters, digits, \"-\" and \"_\"; .cfg is added")
	}
}

// Validate checks the text.
func (s *CloudSetting) Validate(at *config.At) {
	(&CloudText{s.Path, s.Content}).check(cloudinit.Settings, at)
}

// Validate finds a name that is there twice.
func (l *CloudSettings) Validate(at *config.At) {
	feature.Unique(at, "name", *l, func(s CloudSetting) string { return string(s.Name) })
}

// Validate finds a seed that nobody looks at.
func (c *CloudInit) Validate(at *config.At) {
	switch {
	case c.Mode == "remove" && (len(c.DataSources) > 0 || c.Seed != nil || len(c.Config) > 0):
		at.Field("mode").Errorf("cloud-init is to be removed, and to be told what to do").Hint("leave one of them out")
	case c.Seed == nil:
	case c.Mode == "disable":
		at.Field("seed").Errorf("cloud-init would not look at the seed: it is disabled").Hint("leave one of them out")
	case len(c.DataSources) > 0 && !slices.Contains(c.DataSources, "NoCloud"):
		at.Field("datasources").Errorf("cloud-init would not look at the seed: NoCloud is not among its sources").Hint("add NoCloud")
	}
}

// Used tells whether something is asked for.
func (c CloudInit) Used() bool {
	return c.Mode != "" || len(c.DataSources) > 0 || c.Seed != nil || len(c.Config) > 0 || c.Clean
}

// The files of cloud-init. Of the files of settings the last wins: Debian's answers to debconf are in 90_dpkg.cfg.
const (
	cloudDir      = "/etc/cloud/cloud.cfg.d"
	cloudFile     = cloudDir + "/99-zz-image.cfg"
	cloudDisabled = "/etc/cloud/cloud-init.disabled"
	cloudState    = "/var/lib/cloud"
	cloudSeed     = cloudState + "/seed/nocloud"
)

// Touches are its settings and its state.
func (c CloudInit) Touches() []feature.Touch {
	list := []feature.Touch{{Path: cloudFile}}
	if c.Seed != nil || c.Clean {
		list = append(list, feature.Touch{Path: cloudSeed})
	}
	return list
}

// Plan does all of it in one step, but for the package.
func (c CloudInit) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	if c.Mode == "remove" {
		return planRemoveCloudInit(g)
	}
	if c.Seed != nil && len(c.DataSources) == 0 {
		c.DataSources = []DataSource{"NoCloud", "None"}
	}
	return plan.Plan{SetCloudInit{CloudInit: c, Instance: g.Seed.UUID("cloud-init"), Apart: g.SeedApart, Medium: g.SeedImage, Now: g.Now}}, nil
}

// Record has the texts by their hashes: there may be secrets in them.
func (c CloudInit) Record() (any, error) {
	if !c.Used() {
		return nil, nil
	}
	d := map[string]any{"mode": c.Mode, "datasources": c.DataSources, "clean": c.Clean}
	seed := map[string]any{}
	for k, t := range c.Seed.texts() {
		one := map[string]any{}
		if err := feature.RecordText(one, "path", t.Path, t.Content); err != nil {
			return nil, err
		}
		seed[seedKeys[k]] = one
	}
	settings, err := feature.RecordEach(c.Config, func(s CloudSetting) (map[string]any, error) {
		one := map[string]any{"name": s.Name}
		return one, feature.RecordText(one, "path", s.Path, s.Content)
	})
	d["seed"], d["config"] = seed, settings
	return d, err
}

// SetCloudInit settles what cloud-init does.
type SetCloudInit struct {
	CloudInit CloudInit
	Instance  string    // identifies the machine where its meta-data does not
	Apart     bool      // the seed is not written into the image
	Medium    io.Writer // but into this ISO image; nil where the run is only planned
	Now       time.Time // of the run
}

// Name identifies the step.
func (SetCloudInit) Name() string { return "cloud-init" }

func (s SetCloudInit) String() string {
	c := s.CloudInit
	var words []string
	if c.Clean {
		words = append(words, "forget what it did")
	}
	if c.Mode != "" {
		words = append(words, string(c.Mode)+" it")
	}
	if len(c.DataSources) > 0 {
		words = append(words, fmt.Sprintf("look at %v", c.DataSources))
	}
	where := ""
	if s.Apart {
		where = " to an ISO image"
	}
	for _, k := range slices.Sorted(maps.Keys(c.Seed.texts())) {
		words = append(words, "write "+string(k)+where)
	}
	for _, f := range c.Config {
		words = append(words, "write "+string(f.Name)+".cfg")
	}
	return "have cloud-init: " + strings.Join(words, ", ")
}

// Replaces lists its files.
func (SetCloudInit) Replaces(*machine.Machine) []plan.Replaced {
	return feature.Replaced("os.cloudInit", cloudFile, cloudSeed)
}

// Check looks for cloud-init, has it read the texts, and finds what would win over the settings.
func (s SetCloudInit) Check(ctx context.Context, m *machine.Machine) []plan.Problem {
	problems, _ := s.look(ctx, m)
	return problems
}

// look is Check that tells which texts the image's cloud-init did not check.
func (s SetCloudInit) look(ctx context.Context, m *machine.Machine) (problems []plan.Problem, unchecked []string) {
	add := func(path, hint, format string, args ...any) {
		problems = append(problems, plan.Problem{Path: path, Text: fmt.Sprintf(format, args...), Hint: hint, Later: true})
	}
	if !m.Has("cloud-init") {
		add("os.cloudInit", feature.Installing(m, pkgmgr.CloudInit), "the image has no cloud-init")
		return problems, nil
	}
	if why := s.lacksISO(); why != "" {
		add("output.seedImage", "install it on the build host", "%s", why)
	}
	for i, d := range s.CloudInit.DataSources {
		if dir := cloudSources(m); dir != "" && d != "None" && !m.Root.Exists(path.Join(dir, "DataSource"+string(d)+".py")) {
			add(fmt.Sprintf("os.cloudInit.datasources[%d]", i), "leave it out, or install a newer cloud-init in the same run", "cloud-init of the image has no source %s", d)
		}
	}
	if file := cloudLater(m); file != "" && len(s.CloudInit.DataSources) > 0 {
		add("os.cloudInit.datasources", "remove it in a run before this one", "%s of the image is read later and has sources too, which would win", file)
	}
	for _, k := range []cloudinit.Kind{cloudinit.UserData, cloudinit.VendorData, cloudinit.NetworkConfig} {
		why, done := s.ask(ctx, m, k)
		if why != "" {
			add("os.cloudInit.seed."+seedKeys[k], "the documentation of cloud-init says what can stand there", "cloud-init of the image does not take the %s: %s", k, why)
		}
		if !done {
			unchecked = append(unchecked, string(k))
		}
	}
	return problems, unchecked
}

// cloudSources is the folder of the image's cloud-init that has its sources.
func cloudSources(m *machine.Machine) string {
	for _, lib := range []string{"/usr/lib", "/usr/local/lib", "/usr/lib64"} {
		entries, _ := m.Root.ReadDir(lib) // without it there is nothing in it
		for _, e := range entries {
			for _, packages := range []string{"dist-packages", "site-packages"} {
				if dir := path.Join(lib, e.Name(), packages, "cloudinit/sources"); strings.HasPrefix(e.Name(), "python3") && m.Root.IsDir(dir) {
					return dir
				}
			}
		}
	}
	return ""
}

// sourceList is the line that names the sources.
var sourceList = regexp.MustCompile(`(?m)^datasource_list\s*:`)

// cloudLater is a file of settings behind ours that names sources.
func cloudLater(m *machine.Machine) string {
	entries, _ := m.Root.ReadDir(cloudDir) // without it there are none
	for _, e := range entries {
		file := path.Join(cloudDir, e.Name())
		if text, _ := m.Root.ReadFile(file); file > cloudFile && strings.HasSuffix(file, ".cfg") && sourceList.Match(text) {
			return file
		}
	}
	return ""
}

// Run does all of it. What the image's cloud-init could not check is said.
func (s SetCloudInit) Run(ctx context.Context, m *machine.Machine) error {
	problems, unchecked := s.look(ctx, m)
	if len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	if len(unchecked) > 0 {
		m.Log.Warn("the image's cloud-init has not checked texts of its seed: it has no schema for them, or lacks python3-jsonschema; they were checked by this program's rules only", "texts", strings.Join(unchecked, ", "))
	}
	if s.CloudInit.Clean {
		if err := cleanCloudInit(m); err != nil {
			return err
		}
	}
	if err := s.settings(m); err != nil || s.CloudInit.Seed == nil {
		return err
	}
	return s.seed(ctx, m)
}

// settings writes the files of settings.
func (s SetCloudInit) settings(m *machine.Machine) error {
	if err := m.Root.MkdirAll(cloudDir, 0o755); err != nil {
		return err
	}
	switch s.CloudInit.Mode {
	case "enable":
		if err := m.Root.Remove(cloudDisabled); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	case "disable":
		if err := m.Root.WriteFile(cloudDisabled, nil, 0o644); err != nil {
			return err
		}
	}
	for _, f := range s.CloudInit.Config {
		text, err := (&CloudText{f.Path, f.Content}).read()
		if err != nil {
			return err
		}
		if err := m.Root.WriteFile(path.Join(cloudDir, string(f.Name)+".cfg"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if len(s.CloudInit.DataSources) == 0 {
		return nil
	}
	// in one line, as ds-identify reads it
	line := strings.ReplaceAll(fmt.Sprintf("datasource_list: %q\n", s.CloudInit.DataSources), `" "`, `", "`)
	return m.Root.WriteFile(cloudFile, []byte(strings.ReplaceAll(line, `"`, "")), 0o644)
}
