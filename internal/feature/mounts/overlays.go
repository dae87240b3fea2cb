// Package mounts is what the system does with filesystems when it starts: overlays, swap, and growing with the disk.
package mounts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/disk"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/services"
	"imagecustomizer/internal/feature/storage"
	"imagecustomizer/internal/hostcmd"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/plan"
)

// Overlay mounts an overlay filesystem at boot: one folder shows the files of others, and what is
// changed there goes to another place. So a sealed filesystem can have writable parts.
type Overlay struct {
	MountPoint        OverlayPath   `yaml:"mountPoint" required:"true" doc:"Where it is mounted." example:"/etc"`
	LowerDirs         []OverlayPath `yaml:"lowerDirs" required:"true" doc:"Folders whose files it shows, the uppermost first." example:"[/etc]"`
	UpperDir          OverlayPath   `yaml:"upperDir" required:"true" doc:"Folder that changes go to. It is made." example:"/var/overlays/etc/upper"`
	WorkDir           OverlayPath   `yaml:"workDir" required:"true" doc:"Folder for overlayfs itself, on the filesystem of upperDir. It is made." example:"/var/overlays/etc/work"`
	IsInitrdOverlay   bool          `yaml:"isInitrdOverlay" default:"false" doc:"Mount it in the initramfs, before the system's first program reads the folder. The /etc/fstab lines of mountDependencies need the option x-initrd.mount."`
	MountDependencies []OverlayPath `yaml:"mountDependencies" doc:"Mount points that must be mounted before." example:"[/var]"`
	MountOptions      string        `yaml:"mountOptions" doc:"Further mount options, separated by commas."`
}

// OverlayPath is an absolute path that can stand among the options of an overlay.
type OverlayPath string

// Describe tells how the path is written.
func (OverlayPath) Describe() config.Form {
	return config.Form{Kind: "path", Pattern: `^/[^ \t\n:,\\"]*$`, Except: `//|[^/]/$|/\.{1,2}(/|$)`}
}

// Validate checks the form of the path.
func (p *OverlayPath) Validate(at *config.At) {
	s := string(*p)
	switch {
	case !strings.HasPrefix(s, "/"):
		at.Errorf("%q is not an absolute path", s).Hint("begin it with \"/\"")
	case strings.ContainsAny(s, " \t\n:,\\\""):
		at.Errorf("%q holds a blank, a colon, a comma, a quote or a backslash, which the options of an overlay cannot", s)
	case s != "/" && !feature.CleanPath(s[1:]):
		at.Errorf("%q is not the plain form of a path", s).Hint("leave out \"//\", \".\", \"..\" and the last \"/\"")
	}
}

// Validate checks how the folders of an overlay lie to each other.
func (o *Overlay) Validate(at *config.At) {
	upper, work := string(o.UpperDir), string(o.WorkDir)
	switch {
	case upper != "" && upper == work:
		at.Field("workDir").Errorf("workDir and upperDir are the same folder")
	case upper != "" && work != "" && (feature.Below(upper, work) || feature.Below(work, upper)):
		at.Field("workDir").Errorf("one of workDir and upperDir lies in the other").Hint("use two folders side by side")
	}
	if strings.ContainsAny(o.MountOptions, " \t\n") {
		at.Field("mountOptions").Errorf("mount options hold no blank").Hint("separate them by commas")
	}
}

// CheckOverlays finds folders that two overlays use.
func CheckOverlays(list []Overlay, at *config.At) {
	seen := map[string]map[OverlayPath]bool{"mountPoint": {}, "upperDir": {}, "workDir": {}}
	for i, o := range list {
		for key, p := range map[string]OverlayPath{"mountPoint": o.MountPoint, "upperDir": o.UpperDir, "workDir": o.WorkDir} {
			if p != "" && seen[key][p] {
				at.Index(i).Field(key).Errorf("two overlays have the %s %s", key, string(p))
			}
			seen[key][p] = true
		}
	}
}

// inInitrd is where the initramfs sees a path of the system.
func inInitrd(p OverlayPath) string { return strings.TrimSuffix("/sysroot"+string(p), "/") }

// entry is the overlay's line of fstab.
func (o Overlay) entry() disk.Entry {
	seen := func(p OverlayPath) string { return string(p) }
	if o.IsInitrdOverlay {
		seen = inInitrd
	}
	var lower []string
	for _, l := range o.LowerDirs {
		lower = append(lower, seen(l))
	}
	options := []string{"lowerdir=" + strings.Join(lower, ":"), "upperdir=" + seen(o.UpperDir), "workdir=" + seen(o.WorkDir)}
	for _, d := range o.MountDependencies {
		options = append(options, "x-systemd.requires="+seen(d))
	}
	if o.IsInitrdOverlay {
		options = append(options, "x-initrd.mount", "x-systemd.wanted-by=initrd-fs.target")
	}
	if o.MountOptions != "" {
		options = append(options, strings.Split(o.MountOptions, ",")...)
	}
	return disk.Entry{Source: "overlay", Target: string(o.MountPoint), Type: "overlay", Options: options}
}

// Overlays are the overlay filesystems of a config.
type Overlays []Overlay

// Used tells whether there are some.
func (l Overlays) Used() bool { return len(l) > 0 }

// Touches is the file that mounts them.
func (Overlays) Touches() []feature.Touch { return []feature.Touch{{Path: feature.Fstab}} }

// Plan enters one after the other.
func (l Overlays) Plan(g *feature.Given) (p plan.Plan, _ []plan.Problem) {
	g.NeedInitramfs("overlays")
	for i, o := range l {
		p = append(p, AddOverlay{o, g.Labels(), g.NewDisk, fmt.Sprintf("os.overlays[%d]", i), g.Files})
	}
	return p, nil
}

// Record is nothing: the history of the reference has no overlays.
func (Overlays) Record() (any, error) { return nil, nil }

// AddOverlay has the image mount an overlay at boot.
type AddOverlay struct {
	Overlay Overlay
	Labels  bool // SELinux is on: changed files are labelled as those they hide
	NewTree bool // fstab is made anew in this run, and cannot be looked at before
	Path    string
	Files   feature.Supplied // of the config, fstab perhaps among them
}

// Name identifies the step.
func (AddOverlay) Name() string { return "overlays" }

func (s AddOverlay) String() string {
	return fmt.Sprintf("overlay at %s, changes go to %s", s.Overlay.MountPoint, s.Overlay.UpperDir)
}

// Check looks for what the overlay needs of the image.
func (s AddOverlay) Check(_ context.Context, m *machine.Machine) (problems []plan.Problem) {
	for _, k := range storage.KernelsWithout(m, "overlay") {
		problems = append(problems, plan.Problem{Path: s.Path, Text: "kernel " + k + " has no module overlay", Hint: "install a kernel package that has it", Later: true})
	}
	if s.Overlay.IsInitrdOverlay && !m.Has("dracut") {
		problems = append(problems, plan.Problem{
			Path: s.Path + ".isInitrdOverlay", Text: "overlays are mounted in the initramfs by systemd, for which dracut must make it; the image has no dracut",
			Hint: "install dracut, or set isInitrdOverlay to false", Later: true,
		})
	}
	for key, dir := range map[string]OverlayPath{"mountPoint": s.Overlay.MountPoint, "upperDir": s.Overlay.UpperDir, "workDir": s.Overlay.WorkDir} {
		problems = append(problems, s.folder(m, key, dir)...)
	}
	for i, dir := range s.Overlay.LowerDirs {
		problems = append(problems, s.folder(m, fmt.Sprintf("lowerDirs[%d]", i), dir)...)
	}
	if s.NewTree {
		return problems
	}
	return append(problems, s.dependencies(m)...)
}

// folder finds a path at which no folder can be.
func (s AddOverlay) folder(m *machine.Machine, key string, dir OverlayPath) []plan.Problem {
	if file := feature.NotDirectory(m, string(dir)); file != "" {
		return []plan.Problem{{Path: s.Path + "." + key, Text: fmt.Sprintf("the overlay cannot use %s: %s is no folder in the image", dir, file), Hint: "name a folder"}}
	}
	return nil
}

// dependencies looks whether what an overlay needs is mounted, and in the initramfs where that one is.
func (s AddOverlay) dependencies(m *machine.Machine) (problems []plan.Problem) {
	text, err := s.Files.ReadFile(m, feature.Fstab)
	if err != nil {
		return []plan.Problem{{Path: s.Path, Text: fmt.Sprintf("the image has no /etc/fstab to enter the overlay in: %v", err), Hint: "add it with additionalFiles"}}
	}
	entries := disk.ParseFstab(string(text)).Entries()
	var mounts []string
	for _, e := range entries {
		mounts = append(mounts, e.Target)
	}
	for i, d := range s.Overlay.MountDependencies {
		p := plan.Problem{Path: fmt.Sprintf("%s.mountDependencies[%d]", s.Path, i)}
		switch n := slices.Index(mounts, string(d)); {
		case n < 0 && s.unit(m, d):
			continue
		case n < 0:
			p.Text = fmt.Sprintf("the overlay at %s depends on %s, which /etc/fstab does not mount", s.Overlay.MountPoint, d)
			p.Hint = config.DidYouMean(string(d), mounts, "it mounts "+strings.Join(mounts, ", "))
		case s.Overlay.IsInitrdOverlay && !slices.Contains(entries[n].Options, "x-initrd.mount"):
			p.Text = fmt.Sprintf("the overlay at %s is mounted in the initramfs and depends on %s, whose line in /etc/fstab lacks the option x-initrd.mount", s.Overlay.MountPoint, d)
			p.Hint = "edit /etc/fstab in an earlier run, or lay the disk out with that option"
		default:
			continue
		}
		problems = append(problems, p)
	}
	return problems
}

// unit tells whether a unit of systemd mounts a folder, which does for overlays that are not of the initramfs.
func (s AddOverlay) unit(m *machine.Machine, dir OverlayPath) bool {
	name := strings.ReplaceAll(strings.Trim(string(dir), "/"), "/", "-")
	if s.Overlay.IsInitrdOverlay || name == "" {
		return !s.Overlay.IsInitrdOverlay // the root is always mounted
	}
	for _, kind := range []string{".mount", ".automount"} {
		if _, found := (services.SetService{Unit: name + kind, Files: s.Files}).File(m); found {
			return true
		}
	}
	return false
}

// Run makes the folders and writes the line of fstab and dracut's configuration.
func (s AddOverlay) Run(ctx context.Context, m *machine.Machine) error {
	o := s.Overlay
	if problems := s.dependencies(m); len(problems) > 0 {
		return &plan.Unmet{Problems: problems}
	}
	for _, p := range append([]OverlayPath{o.MountPoint, o.UpperDir, o.WorkDir}, o.LowerDirs...) {
		if err := m.Root.MkdirAll(string(p), 0o755); err != nil {
			return err
		}
	}
	if err := s.mount(m); err != nil {
		return err
	}
	if m.Root.IsDir(feature.DracutDir) {
		if err := m.Root.AppendLines(feature.DracutDir+"/overlay.conf", 0o644, `add_drivers+=" overlay "`); err != nil {
			return err
		}
	}
	if s.Labels {
		return s.label(ctx, m)
	}
	return nil
}

// mount writes the line of fstab, in the place of one for the same mount point.
func (s AddOverlay) mount(m *machine.Machine) error {
	text, err := m.Root.ReadFile(feature.Fstab)
	if err != nil {
		return err
	}
	entry := s.Overlay.entry()
	f := disk.ParseFstab(string(text))
	for i := range f {
		if e := f[i].Entry; e != nil && e.Type == "overlay" && e.Target == entry.Target {
			f[i].Entry = &entry
			return m.Root.WriteFile(feature.Fstab, []byte(f.String()), 0o644)
		}
	}
	return m.Root.AppendLines(feature.Fstab, 0o644, entry.String())
}

// label has the policy give files in upperDir the labels of those at the mount point, and keep
// everybody from workDir.
func (s AddOverlay) label(ctx context.Context, m *machine.Machine) error {
	if !m.Has("semanage") {
		return errors.New("the image has SELinux, but no semanage to label an overlay with: install policycoreutils-python-utils")
	}
	for _, args := range [][]string{
		{"-e", string(s.Overlay.MountPoint), string(s.Overlay.UpperDir)},
		{"-f", "a", "-t", "no_access_t", "-r", "s0", string(s.Overlay.WorkDir) + "(/.*)?"},
	} {
		if err := m.Run(ctx, hostcmd.New("semanage", append([]string{"fcontext", "-N", "-a"}, args...)...)); err != nil {
			return err
		}
	}
	return nil
}

// Replaces is the fstab.
func (s AddOverlay) Replaces(*machine.Machine) []plan.Replaced {
	return feature.Replaced(s.Path, feature.Fstab)
}
