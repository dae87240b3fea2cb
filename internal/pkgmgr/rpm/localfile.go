package rpm

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
)

// variables are what $NAME stands for in a .repo file.
type variables struct {
	values   map[string]string
	releases []string // what the image's release may be called
}

// varDirs are where an image has files that are variables.
var varDirs = []string{"/usr/share/dnf5/vars.d", "/etc/yum/vars", "/etc/dnf/vars", "/etc/tdnf/vars"}

func variablesOf(m *machine.Machine) variables {
	v := variables{values: map[string]string{"basearch": m.Facts.Arch, "arch": m.Facts.Arch}}
	release := m.Facts.OSRelease["VERSION_ID"]
	major, minor, _ := strings.Cut(release, ".")
	v.values["releasever_major"], v.values["releasever_minor"] = major, minor
	v.releases = slices.Compact([]string{release, major})
	for _, dir := range varDirs {
		entries, _ := m.Root.ReadDir(dir)
		for _, e := range entries {
			if text, err := m.Root.ReadFile(filepath.Join(dir, e.Name())); err == nil {
				line, _, _ := strings.Cut(string(text), "\n")
				v.values[e.Name()] = strings.TrimSpace(line)
			}
		}
	}
	if own := v.values["releasever"]; own != "" {
		v.releases = []string{own}
	}
	return v
}

var variable = regexp.MustCompile(`\$(?:\{(\w+)\}|(\w+))`)

// expand returns what a text may mean, the likeliest first.
func (v variables) expand(text string) (list []string) {
	for _, release := range v.releases {
		list = append(list, variable.ReplaceAllStringFunc(text, func(match string) string {
			m := variable.FindStringSubmatch(match)
			name := cmp.Or(m[1], m[2])
			if name == "releasever" {
				return release
			}
			if value, known := v.values[name]; known {
				return value
			}
			return match
		}))
	}
	return slices.Compact(list)
}

// localKeys are the settings that can name a file; of a list, each.
var localKeys = []string{"baseurl", "gpgkey", "metalink", "mirrorlist", "sslcacert", "sslclientcert", "sslclientkey"}

// localize rewrites what names a file: file:// and a plain path are on the build host, file+rel:// is beside
// the .repo file, and file+chroot:// in the image.
func (r *repoSet) localize(s *section, source int) {
	for _, key := range localKeys {
		if s.get(key) == "" {
			continue
		}
		names := words(s.get(key))
		plain := strings.HasPrefix(key, "ssl") // a path, not a URL
		for i, name := range names {
			path, kind := localPath(name, filepath.Dir(s.fileName()))
			switch kind {
			case onHost:
				names[i] = r.show(s, key, path, source)
			case inImage:
				names[i] = r.inImage(s, key, path)
			}
			if plain {
				names[i] = strings.TrimPrefix(names[i], "file://")
			}
		}
		s.set(key, strings.Join(names, " "))
	}
}

func (s *section) fileName() string { return strings.TrimSuffix(s.file, " of the image") }

type place int

const (
	elsewhere place = iota
	onHost
	inImage
)

// localPath tells where a URL points to, if at a file.
func localPath(name, dir string) (path string, where place) {
	unescape := func(p string) string {
		if plain, err := url.PathUnescape(p); err == nil {
			return plain
		}
		return p
	}
	if p, is := strings.CutPrefix(name, "file+rel://"); is {
		return filepath.Join(dir, unescape(p)), onHost
	}
	if p, is := strings.CutPrefix(name, "file+chroot://"); is {
		return unescape(p), inImage
	}
	if p, is := strings.CutPrefix(name, "file:"); is {
		p = strings.TrimPrefix(strings.TrimPrefix(p, "//localhost/"), "//")
		return "/" + strings.TrimLeft(unescape(p), "/"), onHost
	}
	if filepath.IsAbs(name) {
		return name, onHost
	}
	return "", elsewhere
}

// show notes a file or folder of the host that the image has to see and returns its URL there.
func (r *repoSet) show(s *section, key, path string, source int) string {
	for _, name := range r.vars.expand(path) {
		fi, err := os.Stat(name)
		if err != nil {
			continue
		}
		f := shown{name, fmt.Sprintf("%s/%02d-%02d", pkgmgr.Work, source, len(r.shown)), fi.IsDir()}
		r.shown = append(r.shown, f)
		return "file://" + f.place
	}
	name := r.vars.expand(path)[0]
	hint := ""
	if r.root.Exists(name) {
		hint = fmt.Sprintf("the image has it: write file+chroot://%s", name)
	}
	r.faults = append(r.faults, pkgmgr.Fault{Where: s.at(key), Text: fmt.Sprintf("[%s] %s: there is no %s on the build host", s.id, key, name), Hint: hint})
	return path
}

func (r *repoSet) inImage(s *section, key, path string) string {
	for _, name := range r.vars.expand(path) {
		if r.root.Exists(name) {
			return "file://" + name
		}
	}
	r.faults = append(r.faults, pkgmgr.Fault{Where: s.at(key), Text: fmt.Sprintf("[%s] %s: there is no %s in the image", s.id, key, r.vars.expand(path)[0])})
	return path
}
