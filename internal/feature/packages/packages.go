// Package packages has packages removed, updated and installed (os.packages).
package packages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature"
	"imagecustomizer/internal/feature/booting"
	"imagecustomizer/internal/initramfs"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/pkgmgr/probe"
	"imagecustomizer/internal/plan"
)

// Packages says which packages to remove, update and install, with the image's own package manager.
// The order is: remove, updateExistingPackages, install, update.
type Packages struct {
	UpdateExisting bool          `yaml:"updateExistingPackages" default:"false" doc:"Update every installed package."`
	InstallLists   []PackageList `yaml:"installLists" doc:"Files with a key packages that lists names to install. They come before install."`
	Install        []PackageName `yaml:"install" doc:"Packages to install, as the package manager names them." example:"[jq, openssh-server]"`
	RemoveLists    []PackageList `yaml:"removeLists" doc:"Files with a key packages that lists names to remove."`
	Remove         []PackageName `yaml:"remove" doc:"Packages to remove."`
	UpdateLists    []PackageList `yaml:"updateLists" doc:"Files with a key packages that lists names to update."`
	Update         []PackageName `yaml:"update" doc:"Packages to update."`
	Debconf        []string      `yaml:"debconfSelections" doc:"Answers to questions of Debian packages, as debconf-set-selections takes them. For images with apt." example:"[\"tzdata tzdata/Areas select Europe\"]"`
}

// Adds tells whether packages are downloaded.
func (p Packages) Adds() bool { return p.UpdateExisting || len(p.AllInstall())+len(p.allUpdate()) > 0 }

// Validate finds packages that are in several of the lists.
func (p *Packages) Validate(at *config.At) {
	CheckPackages(at.Field("remove"), at.Field("install"), at.Field("update"), p.Remove, p.Install, p.Update)
}

// CheckPackages finds packages that are to be removed, and installed or updated too. Packages are removed first.
func CheckPackages(removeAt, installAt, updateAt *config.At, remove, install, update []PackageName) {
	config.Contradicts(removeAt, installAt, remove, install, func(item *config.At, name PackageName) {
		item.Warnf("%s is to be removed and installed: it is removed first, and is there at the end", name).Hint("remove it from one of the lists")
	})
	config.Contradicts(updateAt, removeAt, update, remove, func(item *config.At, name PackageName) {
		if !slices.Contains(install, name) {
			item.Errorf("%s is to be removed and updated", name).Hint("remove it from one of the lists")
		}
	})
}

// PackageName names a package, possibly with a version, as the package manager takes it.
type PackageName string

// Describe tells how the name is written.
func (PackageName) Describe() config.Form {
	return config.Form{Kind: "text", Pattern: `^[^- \t\n][^ \t\n]*$`}
}

// Validate refuses what the package manager would take for something else.
func (n *PackageName) Validate(at *config.At) {
	if !n.Describe().Fits(string(*n)) {
		at.Errorf("%q is not the name of a package", string(*n)).Hint("write one name, such as jq or jq-1.6")
	}
}

// PackageList is a file that lists packages.
type PackageList struct {
	config.Path
	Names []PackageName
}

// packageListFile is the content of a package list, whose key is spelled either way.
type packageListFile struct {
	Packages []PackageName `yaml:"packages" doc:"Names of packages."`
	Legacy   []PackageName `yaml:"Packages" doc:"The same, as spelled in 2023."`
}

// UnmarshalScalar reads the file, which is a config file of its own.
func (l *PackageList) UnmarshalScalar(text string, at *config.At) {
	l.Path.UnmarshalScalar(text, at)
	if l.Resolved == "" || at.FormOnly() {
		return
	}
	var f packageListFile
	at.Include(l.Resolved, &f)
	l.Names = append(f.Packages, f.Legacy...)
}

func joinNames(lists []PackageList, names []PackageName) (all []string) {
	for _, l := range lists {
		for _, n := range l.Names {
			all = append(all, string(n))
		}
	}
	for _, n := range names {
		all = append(all, string(n))
	}
	return all
}

func (p Packages) AllInstall() []string { return joinNames(p.InstallLists, p.Install) }
func (p Packages) allRemove() []string  { return joinNames(p.RemoveLists, p.Remove) }
func (p Packages) allUpdate() []string  { return joinNames(p.UpdateLists, p.Update) }

// Used tells whether there is anything to do.
func (p Packages) Used() bool { return p.Adds() || len(p.allRemove())+len(p.Debconf) > 0 }

// Touches is where packages have most of their files.
func (Packages) Touches() []feature.Touch { return []feature.Touch{{Path: "/usr"}} }

// Record is what is asked for, with the content of lists.
func (p Packages) Record() (any, error) {
	return feature.RecordIf(p.Used(), map[string]any{
		"updateExistingPackages": p.UpdateExisting, "install": p.AllInstall(), "remove": p.allRemove(), "update": p.allUpdate(),
	})
}

// PlanSources finds what is wrong with the sources, be there packages to install or not.
func (p Packages) PlanSources(g *feature.Given) (plan.Plan, []plan.Problem) {
	_, problems := p.check(g.Facts, g.Inputs)
	return nil, problems
}

// Plan does all package work in one step.
func (p Packages) Plan(g *feature.Given) (plan.Plan, []plan.Problem) {
	sources, _ := p.check(g.Facts, g.Inputs)
	options := pkgmgr.Options{Sources: sources, NoBaseRepos: g.NoBaseRepos, Debconf: p.Debconf, Indexes: &pkgmgr.Indexes{}, Along: &pkgmgr.Along{}}
	if !p.Adds() { // then nothing is wrong with them
		options.Sources, options.NoBaseRepos = nil, true
	}
	return plan.Plan{ChangePackages{
		Options: options,
		Remove:  p.allRemove(), UpdateAll: p.UpdateExisting, Install: p.AllInstall(), Update: p.allUpdate(), Grow: g.GrowDisk, Places: p.places(g.Item),
	}}, nil
}

// check returns the sources for the image's package manager, and what that one cannot do.
func (p Packages) check(f *machine.Facts, in feature.Inputs) (sources []pkgmgr.Source, problems []plan.Problem) {
	path := ""
	if p.Used() {
		path = "os.packages"
	}
	problem := func(text, hint string) {
		problems = append(problems, plan.Problem{Step: ChangePackages{}.Name(), Path: path, Text: text, Hint: hint})
	}
	manager := probe.Of(f)
	if manager == nil {
		if p.Used() {
			problem("the image has no package manager that this program knows ("+strings.Join(probe.Names(), ", ")+")", "")
		}
		return nil, problems
	}
	flag := func(format pkgmgr.Format) string { return "--" + string(format) + "-source" }
	for format, given := range map[pkgmgr.Format][]pkgmgr.Source{pkgmgr.RPM: in.RPMSources, pkgmgr.Deb: in.DebSources} {
		if format == manager.Format() {
			sources = given
		} else if len(given) > 0 {
			problem(flag(format)+" is of no use for an image with "+manager.Name(), "leave it out")
		}
	}
	if manager.Format() != pkgmgr.Deb && len(p.Debconf) > 0 {
		problem("debconfSelections are for images with apt; this one has "+manager.Name(), "remove them")
	}
	if p.Adds() && in.NoBaseRepos && len(sources) == 0 {
		problem("packages are to be installed or updated, but there is no source of packages", "leave out --disable-base-image-rpm-repos, or give "+flag(manager.Format()))
	}
	return sources, problems
}

// ChangePackages does all package work of a run, so that sources are read once.
type ChangePackages struct {
	Options   pkgmgr.Options
	Remove    []string
	UpdateAll bool
	Install   []string
	Update    []string
	Grow      bool                // the filesystem of /usr, where a transaction does not fit
	Places    map[string][]string // in the config, by the names of packages
}

// places tells where in the config each package is named.
func (p Packages) places(item func(list string, i int) string) map[string][]string {
	places := map[string][]string{}
	for kind, l := range map[string]struct {
		lists []PackageList
		names []PackageName
	}{"install": {p.InstallLists, p.Install}, "remove": {p.RemoveLists, p.Remove}, "update": {p.UpdateLists, p.Update}} {
		add := func(name PackageName, suffix string, i int) {
			places[string(name)] = append(places[string(name)], item("os.packages."+kind+suffix, i))
		}
		for i, list := range l.lists {
			for _, n := range list.Names {
				add(n, "Lists", i)
			}
		}
		for i, n := range l.names {
			add(n, "", i)
		}
	}
	for _, at := range places {
		slices.Sort(at)
	}
	return places
}

// place is where in the config a package is named, by one of these lists of it where there are several; "" where it is not.
func (s ChangePackages) place(name string, kinds ...string) string {
	for _, kind := range append(kinds, "") {
		for _, at := range s.Places[name] {
			if strings.HasPrefix(at, "os.packages."+kind) {
				return at
			}
		}
	}
	return ""
}

// Name identifies the step.
func (ChangePackages) Name() string { return "packages" }

func (s ChangePackages) String() string {
	var parts []string
	add := func(verb string, names []string) {
		if len(names) > 0 {
			parts = append(parts, verb+" "+strings.Join(names, ", "))
		}
	}
	add("remove", s.Remove)
	if s.Options.Along != nil {
		add("with which go", s.Options.Along.Names)
	}
	if s.UpdateAll {
		parts = append(parts, "update all")
	}
	add("install", s.Install)
	add("update", s.Update)
	if len(s.Options.Debconf) > 0 {
		parts = append(parts, "answer questions of packages")
	}
	return strings.Join(parts, "; ")
}

// Brings tells whether packages are added or updated, which may bring what later steps need.
func (s ChangePackages) Brings() bool { return s.UpdateAll || len(s.Install)+len(s.Update) > 0 }

// Check looks for what is wrong with the sources of packages, and with what a removal takes along.
func (s ChangePackages) Check(ctx context.Context, m *machine.Machine) (problems []plan.Problem) {
	for _, f := range pkgmgr.Check(ctx, m, probe.Of(m.Facts), s.Options, s.Install, s.Update, s.Remove) {
		problems = append(problems, plan.Problem{Path: s.place(f.Package), Text: f.String(), Hint: f.Hint})
	}
	return problems
}

// Run does one transaction for each kind of work. Initramfs images that packages make are
// compressed once, at the end.
func (s ChangePackages) Run(ctx context.Context, m *machine.Machine) error {
	return booting.Settled(ctx, m, initramfs.Guard{Fast: true}, func() error { return s.transactions(ctx, m) })
}

// transaction is one of the kinds of work.
type transaction struct {
	what string
	run  func(*pkgmgr.Session, context.Context) error
}

func (s ChangePackages) list() (list []transaction) {
	add := func(what string, need bool, run func(*pkgmgr.Session, context.Context) error) {
		if need {
			list = append(list, transaction{what, run})
		}
	}
	add("remove packages", len(s.Remove) > 0, func(p *pkgmgr.Session, ctx context.Context) error { return p.Remove(ctx, s.Remove) })
	add("read the package sources", s.UpdateAll || len(s.Install)+len(s.Update) > 0, (*pkgmgr.Session).Refresh)
	add("update all packages", s.UpdateAll, (*pkgmgr.Session).UpdateAll)
	add("install packages", len(s.Install) > 0, func(p *pkgmgr.Session, ctx context.Context) error { return p.Install(ctx, s.Install) })
	add("update packages", len(s.Update) > 0, func(p *pkgmgr.Session, ctx context.Context) error { return p.Update(ctx, s.Update) })
	return list
}

// transactions does the work. Where a transaction does not fit and the disk may grow, the session is
// closed for that, and the sources are read anew. What a package manager says is missing is not all that
// it takes: the filesystem keeps a part of what is added, and a later transaction has needs of its own.
func (s ChangePackages) transactions(ctx context.Context, m *machine.Machine) error {
	list := s.list()
	for range feature.GrowTries * len(list) {
		rest, err := s.inSession(ctx, m, list)
		full, is := errors.AsType[*pkgmgr.NoRoom](err)
		if !is || !s.Grow {
			return err
		}
		if err := growForPackages(ctx, m, full.Missing); err != nil {
			return fmt.Errorf("%w; growing the disk for them: %w", full, err)
		}
		list = append([]transaction{{"read the package sources", (*pkgmgr.Session).Refresh}}, rest...)
	}
	return errors.New("the packages do not fit, however much the filesystem grows")
}

// prune bounds the cache of packages, where there is one.
func prune(m *machine.Machine) error {
	if m.Cache == "" {
		return nil
	}
	return pkgmgr.Prune(m.Cache, time.Now())
}

// inSession does transactions in one session and returns those that were not done.
func (s ChangePackages) inSession(ctx context.Context, m *machine.Machine, list []transaction) (rest []transaction, err error) {
	session, err := pkgmgr.Open(ctx, m, probe.Of(m.Facts), s.Options)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := session.Close(ctx); err == nil {
			err = closeErr
		}
		if pruneErr := prune(m); pruneErr != nil {
			m.Log.Debug("the package cache was not pruned", "error", pruneErr)
		}
	}()
	for i, t := range list {
		if err := t.run(session, ctx); err != nil {
			return list[i:], fmt.Errorf("%s: %w", t.what, err)
		}
	}
	return nil, nil
}

// Replaces lists the package manager's records, and what the packages that are removed have brought.
func (s ChangePackages) Replaces(m *machine.Machine) []plan.Replaced {
	list := feature.Replaced("os.packages", feature.Present(m, probe.Records()...)...)
	for _, name := range s.Remove {
		at := s.place(name, "remove")
		list = append(list, feature.Replaced(at, feature.Present(m, probe.Files(m, strings.TrimSpace(name))...)...)...)
	}
	return list
}

// growForPackages grows the filesystem of /usr for packages that do not fit.
func growForPackages(ctx context.Context, m *machine.Machine, missing uint64) error {
	const (
		spare         = 64 << 20 // for what the packages' scripts make
		reservedShare = 20       // of an ext4, for root, which rpm takes for used
	)
	fs := m.Facts.FilesystemOf("/usr")
	by := feature.WithTables(int64(missing+missing/reservedShare) + spare)
	m.Log.Info("the packages do not fit: the filesystem and the disk grow", "mount", fs.MountPoint, "missingMiB", missing>>20, "byMiB", by>>20)
	return m.Grow(ctx, fs.Partition, by)
}

// Flags change packages.
func (Packages) Flags() []feature.Flag {
	remove := feature.ListFlag("remove", "PACKAGE,...", "os.packages.remove", "Remove packages.")
	remove.Aliases = []string{"uninstall"}
	return []feature.Flag{
		feature.ListFlag("install", "PACKAGE,...", "os.packages.install", "Install packages."), remove,
		{Name: "update", Help: "Update every installed package.", Says: func(string) ([]feature.Said, error) { return feature.Say("os.packages.updateExistingPackages", true) }},
	}
}
