package rpm

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
	"imagecustomizer/internal/rootfs"
)

// repoSet is what a session will read packages from: the repositories of the image and of the run, as
// one list with one order. Making it changes nothing, so it is made when a run is planned too.
type repoSet struct {
	*Manager
	root     *rootfs.Root
	vars     variables
	sources  int
	sections []*section
	shown    []shown
	folders  []folder
	faults   []pkgmgr.Fault
}

// shown is a file or folder of the build host that the image's package manager has to see.
type shown struct {
	from, place string
	dir         bool
}

// folder is a source that is a folder of packages.
type folder struct{ path, place string }

func (g *Manager) readRepos(m *machine.Machine, o pkgmgr.Options) *repoSet {
	r := &repoSet{Manager: g, root: m.Root, vars: variablesOf(m), sources: len(o.Sources)}
	if !o.NoBaseRepos {
		r.addBase()
	}
	for i, src := range o.Sources {
		switch src.Kind {
		case pkgmgr.PackageDir:
			r.addFolder(i, src.Path)
		case pkgmgr.RepoFile:
			r.addFile(i, src.Path)
		case pkgmgr.AptFile:
			r.faults = append(r.faults, pkgmgr.Fault{Text: src.Path + ": this is a source for apt, but the image uses " + r.program})
		}
	}
	r.nameApart()
	return r
}

// repoDirs are the folders in which the package manager looks for .repo files.
func (r *repoSet) repoDirs() []string {
	dirs := r.dirs
	text, err := r.root.ReadFile(r.conf)
	if err != nil {
		return dirs
	}
	sections, _ := parseINI(r.conf, string(text))
	for _, s := range sections {
		for _, k := range r.dirKeys {
			if v := words(s.get(k)); s.id == mainSection && len(v) > 0 {
				dirs = v
			}
		}
	}
	return dirs
}

// words splits a list as these files have it.
func words(list string) []string {
	return strings.FieldsFunc(list, func(c rune) bool { return c == ' ' || c == ',' || c == '\t' })
}

// addBase takes over the image's repositories, behind all others.
func (r *repoSet) addBase() {
	var all []*section
	for _, dir := range r.repoDirs() {
		all = append(all, r.readDir(dir)...)
	}
	r.override(all)
	for _, s := range all {
		if s.is("enabled", r.enabledByDefault) {
			r.faults = append(r.faults, s.check()...)
			s.set("enabled", "1")
		} else {
			s.set("enabled", "0")
		}
		r.add(s, r.sources)
	}
}

func (r *repoSet) readDir(dir string) (all []*section) {
	entries, _ := r.root.ReadDir(dir)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".repo") {
			continue
		}
		name := filepath.Join(dir, e.Name())
		text, err := r.root.ReadFile(name)
		if err != nil {
			r.faults = append(r.faults, pkgmgr.Fault{Where: name + " of the image", Text: err.Error()})
			continue
		}
		sections, faults := parseRepos(name+" of the image", string(text))
		all, r.faults = append(all, sections...), append(r.faults, faults...)
	}
	return all
}

// override applies what is kept apart from the repositories.
func (r *repoSet) override(all []*section) {
	for _, dir := range r.changes {
		for _, o := range r.readDir(dir) {
			for _, s := range all {
				if match, err := filepath.Match(o.id, s.id); err == nil && match {
					for _, k := range o.keys {
						s.set(k.key, k.value)
					}
				}
			}
		}
	}
}

// add gives a repository its place in the order: those of a later source before those of an earlier one,
// and all of them before the image's own; those of one source among each other as they say.
func (r *repoSet) add(s *section, source int) {
	behind := r.sources // the image's own
	if source < r.sources {
		behind = r.sources - 1 - source
	}
	s.set("priority", fmt.Sprint(1+behind*priorityRange+s.priority(r.defaultPriority)))
	s.set("skip_if_unavailable", "0") // or an update is left out, and all seems well
	r.sections = append(r.sections, s)
}

// addFolder adds a folder of packages, whose metadata will be made.
func (r *repoSet) addFolder(i int, path string) {
	if !hasPackages(path) {
		r.faults = append(r.faults, pkgmgr.Fault{Text: "package source " + path + ": there is no .rpm file in this folder"})
		return
	}
	f := folder{path, fmt.Sprintf("%s/%02d", pkgmgr.Work, i)}
	s := &section{id: fmt.Sprintf("imagecustomizer-%02d", i), file: path}
	for _, kv := range [][2]string{
		{"name", filepath.Base(path)}, {"baseurl", "file://" + f.place}, {"enabled", "1"}, {"gpgcheck", "0"},
		{"repo_gpgcheck", "0"}, {"metadata_expire", "1"},
	} {
		s.set(kv[0], kv[1])
	}
	r.folders = append(r.folders, f)
	r.add(s, i)
}

func hasPackages(dir string) (found bool) {
	_ = filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".rpm") {
			found = true
			return filepath.SkipAll
		}
		return nil
	})
	return found
}

// addFile takes over the repositories of a .repo file, with its local files shown in the image.
func (r *repoSet) addFile(i int, name string) {
	text, err := os.ReadFile(name)
	if err != nil {
		r.faults = append(r.faults, pkgmgr.Fault{Text: "package source: " + err.Error()})
		return
	}
	sections, faults := parseRepos(name, string(text))
	if len(sections) == 0 && len(faults) == 0 {
		faults = []pkgmgr.Fault{{Where: name, Text: "there is no repository in this file", Hint: "write a [section] with baseurl="}}
	}
	r.faults = append(r.faults, faults...)
	seen := map[string]int{}
	for _, s := range sections {
		if line, twice := seen[s.id]; twice {
			r.faults = append(r.faults, pkgmgr.Fault{Where: s.at(""), Text: fmt.Sprintf("[%s] is there already, in line %d", s.id, line), Hint: "give the repositories different names"})
			continue
		}
		seen[s.id] = s.line
		if s.is("enabled", true) {
			r.faults = append(r.faults, s.check()...)
			s.set("enabled", "1")
			r.localize(s, i)
		}
		r.add(s, i)
	}
}

// nameApart gives repositories of one name different ones: tdnf would refuse them, and dnf leave one out.
func (r *repoSet) nameApart() {
	taken := map[string]bool{}
	for _, s := range slices.Backward(r.sections) { // those of the run keep theirs
		id := s.id
		for n := 2; taken[s.id]; n++ {
			s.id = fmt.Sprintf("%s-%d", id, n)
		}
		taken[s.id] = true
	}
}

// enabled are the repositories that will be read.
func (r *repoSet) enabled() (list []*section) {
	for _, s := range r.sections {
		if s.is("enabled", false) {
			list = append(list, s)
		}
	}
	return list
}

// Check reads the sources of packages.
func (g *Manager) Check(ctx context.Context, m *machine.Machine, o pkgmgr.Options, install, update, remove []string) []pkgmgr.Fault {
	r := g.readRepos(m, o)
	faults := r.faults
	needed := len(o.Sources) > 0 || !o.NoBaseRepos
	if needed && len(r.enabled()) == 0 && len(faults) == 0 {
		faults = append(faults, pkgmgr.Fault{Text: "packages are to be installed or updated, but there is no repository that is enabled", Hint: "give --rpm-source"})
	}
	for _, n := range slices.Concat(install, update, remove) {
		if r.groups == nil && strings.HasPrefix(n, "@") {
			faults = append(faults, pkgmgr.Fault{Package: n, Text: n + ": " + r.program + " knows no groups of packages", Hint: "name the packages of the group"})
		}
	}
	return append(faults, g.absent(ctx, m, remove)...)
}

// absent are packages to be removed that are not there. Groups are left to the manager.
func (g *Manager) absent(ctx context.Context, m *machine.Machine, remove []string) (faults []pkgmgr.Fault) {
	names := slices.DeleteFunc(slices.Clone(remove), func(n string) bool { return parseWish(n).group() })
	if len(names) == 0 || m.Facts.Foreign {
		return nil
	}
	r := &transactions{g, &pkgmgr.Session{Machine: m}, &repoSet{}}
	absent, err := r.Missing(ctx, names)
	if err != nil {
		m.Log.Debug("packages to be removed are not looked for", "error", err)
	}
	for _, n := range absent {
		faults = append(faults, pkgmgr.Fault{Package: n, Text: "not installed: " + n})
	}
	return faults
}
