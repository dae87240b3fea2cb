package apt

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
)

// aptPlan is what apt is to read in a session: known before anything of the image is changed.
type aptPlan struct {
	files   map[string][]byte // to be written, below the session's folder of sources
	pins    map[string][]byte // the same for preferences
	keys    map[string][]byte // the same for keys of the build host
	folders []debFolder
	entries []aptEntry
	left    []string // what was left out, and why
}

// debFolder is a folder of packages of the build host.
type debFolder struct {
	name, dir string
	index     string
}

// planApt reads the image's sources and those of the options.
func planApt(m *machine.Machine, o pkgmgr.Options) (*aptPlan, error) {
	p := &aptPlan{files: map[string][]byte{}, pins: map[string][]byte{}, keys: map[string][]byte{}}
	if err := p.image(m, o.NoBaseRepos); err != nil {
		return nil, err
	}
	for i, src := range o.Sources {
		var err error
		switch src.Kind {
		case pkgmgr.PackageDir:
			err = p.folder(i, src.Path)
		case pkgmgr.AptFile:
			err = p.sourceFile(m, i, src.Path)
		default:
			err = errors.New("this is a source for RPM packages, but the image uses apt")
		}
		if err != nil {
			return nil, fmt.Errorf("package source %s: %w", src.Path, err)
		}
	}
	return p, nil
}

// image takes the image's sources and preferences over.
func (p *aptPlan) image(m *machine.Machine, noSources bool) error {
	for _, name := range below(m, "/etc/apt/preferences.d", "", ".pref") {
		text, err := m.Root.ReadFile(name)
		if err != nil {
			return err
		}
		p.pins[path.Base(name)] = text
	}
	if noSources {
		return nil
	}
	names := below(m, "/etc/apt/sources.list.d", ".list", ".sources")
	if m.Root.Exists("/etc/apt/sources.list") {
		names = append([]string{"/etc/apt/sources.list"}, names...)
	}
	for _, name := range names {
		text, err := m.Root.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) { // a link that leads nowhere
			continue
		}
		if err != nil {
			return err
		}
		rest, entries, left := withoutUnreachable(m.Root, name, string(text))
		p.entries, p.left = append(p.entries, entries...), append(p.left, left...)
		to := path.Base(name)
		if path.Dir(name) == "/etc/apt" {
			to = "imagecustomizer-base.list"
		}
		p.files[to] = []byte(rest)
	}
	return nil
}

// below lists the files of a folder of the image that apt would read, by the ends of their names.
func below(m *machine.Machine, dir string, ends ...string) (names []string) {
	entries, _ := m.Root.ReadDir(dir)
	for _, e := range entries {
		if slices.Contains(ends, path.Ext(e.Name())) && !e.IsDir() {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	return names
}

// sourcePin is the priority of the first source (apt_preferences(5)): above the image's own, which
// have 500, and below 1000, from which packages would be downgraded.
const sourcePin = 600

// folder makes the index of a folder of packages.
func (p *aptPlan) folder(i int, dir string) error {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".deb" {
			return err
		}
		control, size, sum, err := readDeb(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		fmt.Fprintf(&b, "%s\nFilename: ./packages/%s\nSize: %d\nSHA256: %s\n\n", strings.TrimRight(control, "\n"), rel, size, sum)
		return err
	})
	if err == nil && b.Len() == 0 {
		err = errors.New("there is no .deb file in this folder")
	}
	f := debFolder{fmt.Sprintf("imagecustomizer-%02d", i), dir, b.String()}
	p.folders = append(p.folders, f)
	p.files[f.name+".list"] = fmt.Appendf(nil, "deb [trusted=yes] file:%s ./\n", f.place())
	p.pins[f.name] = fmt.Appendf(nil, "Package: *\nPin: release o=%s\nPin-Priority: %d\n", f.name, sourcePin+i)
	return err
}

// place is where the image sees the folder.
func (f debFolder) place() string { return pkgmgr.Work + "/" + f.name }

// show makes a flat repository of the folder: an index beside a read-only view of it.
func (f debFolder) show(s *pkgmgr.Session) error {
	if err := s.Bind(f.dir, f.place()+"/packages", true); err != nil {
		return err
	}
	release := fmt.Sprintf("Origin: %s\nLabel: %s\nSHA256:\n %x %d Packages\n", f.name, f.name, sha256.Sum256([]byte(f.index)), len(f.index))
	return errors.Join(
		s.Machine.Root.WriteFile(f.place()+"/Packages", []byte(f.index), 0o644),
		s.Machine.Root.WriteFile(f.place()+"/Release", []byte(release), 0o644))
}

var signedBy = regexp.MustCompile(`(?mi)(signed-by\s*[=:]\s*)([^\s\]]+)`)

// sourceFile takes over a .list or .sources file. A key it names by a relative path lies beside it.
func (p *aptPlan) sourceFile(m *machine.Machine, i int, name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var keyErr error
	edited := signedBy.ReplaceAllStringFunc(string(text), func(match string) string {
		found := signedBy.FindStringSubmatch(match)
		key := found[2]
		if strings.HasPrefix(key, "-") || filepath.IsAbs(key) && m.Root.Exists(key) {
			return match
		}
		if !filepath.IsAbs(key) {
			key = filepath.Join(filepath.Dir(name), key)
		}
		data, err := os.ReadFile(key)
		to := fmt.Sprintf("key-%02d%s", i, filepath.Ext(key))
		keyErr = cmp.Or(keyErr, err)
		p.keys[to] = data
		return found[1] + pkgmgr.Work + "/" + to
	})
	p.files[fmt.Sprintf("imagecustomizer-%02d%s", i, filepath.Ext(name))] = []byte(edited)
	p.entries = append(p.entries, aptEntries(name, edited)...)
	return keyErr
}

// write puts everything where apt is told to look.
func (p *aptPlan) write(s *pkgmgr.Session) error {
	for dir, files := range map[string]map[string][]byte{aptParts: p.files, aptPins: p.pins, pkgmgr.Work: p.keys} {
		if err := s.Machine.Root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for name, text := range files {
			if err := s.Machine.Root.WriteFile(dir+"/"+name, text, 0o644); err != nil {
				return err
			}
		}
	}
	for _, f := range p.folders {
		if err := f.show(s); err != nil {
			return err
		}
	}
	return nil
}

// places names the files that the sources are from.
func (p *aptPlan) places() string {
	var all []string
	for _, e := range p.entries {
		for _, uri := range e.uris {
			all = append(all, fmt.Sprintf("%s (%s)", e.at, pkgmgr.ShownURL(uri)))
		}
	}
	return strings.Join(all, ", ")
}
