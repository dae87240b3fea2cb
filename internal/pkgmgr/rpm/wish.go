package rpm

import (
	"context"
	"path"
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/hostcmd"
)

// nevra is one installed package.
type nevra struct {
	name, arch string
	evr        evr
}

// String is the package as every package manager takes it.
func (p nevra) String() string {
	version := p.evr.version + "-" + p.evr.release
	if p.evr.epoch != "0" {
		version = p.evr.epoch + ":" + version
	}
	return p.name + "-" + version + "." + p.arch
}

// spellings are all the ways to name the package.
func (p nevra) spellings() (list []string) {
	versions := []string{p.evr.version, p.evr.version + "-" + p.evr.release}
	list = []string{p.name, p.name + "." + p.arch}
	for _, v := range versions {
		list = append(list, p.name+"-"+v, p.name+"-"+p.evr.epoch+":"+v, p.name+"-"+v+"."+p.arch, p.name+"-"+p.evr.epoch+":"+v+"."+p.arch)
	}
	return append(list, p.evr.epoch+":"+p.name+"-"+versions[1], p.evr.epoch+":"+p.name+"-"+versions[1]+"."+p.arch)
}

// wish is what a config names: a package in one of its spellings, what a package provides, a pattern, a
// file, or a group.
type wish struct {
	text, name, op string
	evr            evr // where there is an op
	glob           bool
}

var related = regexp.MustCompile(`^([^<>=]+?)(<=|>=|==?|<|>)(.+)$`)

func parseWish(text string) wish {
	w := wish{text: text, name: text, glob: strings.ContainsAny(text, "*?[")}
	if m := related.FindStringSubmatch(text); m != nil && !w.group() {
		w.name, w.op, w.evr = m[1], strings.Replace(m[2], "==", "=", 1), parseEVR(m[3])
	}
	return w
}

func (w wish) group() bool { return strings.HasPrefix(w.text, "@") }
func (w wish) file() bool  { return strings.HasPrefix(w.text, "/") && !w.glob }

// argument is the wish in words that tdnf, dnf and dnf5 all know.
func (w wish) argument() string {
	if w.op != "=" {
		return w.text
	}
	_, version, _ := strings.Cut(w.text, "=")
	return w.name + "-" + strings.TrimLeft(version, "=")
}

func (w wish) is(name string) bool {
	if w.glob {
		match, err := path.Match(w.name, name)
		return err == nil && match
	}
	return w.name == name
}

// fits tells whether something of that version is what was wished for. An empty one is nobody's.
func (w wish) fits(version evr) bool {
	if w.op == "" {
		return true
	}
	c := version.compare(w.evr)
	return version.version != "" && (c == 0 && strings.Contains(w.op, "=") || c < 0 && w.op[0] == '<' || c > 0 && w.op[0] == '>')
}

// names tells whether the wish names the package.
func (w wish) names(p nevra) bool {
	if w.op != "" {
		return (w.is(p.name) || w.is(p.name+"."+p.arch)) && w.fits(p.evr)
	}
	return slices.ContainsFunc(p.spellings(), w.is)
}

// nearly tells whether the wish names the package, be it in another version.
func (w wish) nearly(p nevra) bool {
	if w.op != "" || w.names(p) {
		return w.is(p.name) || w.is(p.name+"."+p.arch) || w.names(p)
	}
	return strings.HasPrefix(w.text, p.name+"-")
}

func parseWishes(names []string) (list []wish) {
	for _, n := range names {
		list = append(list, parseWish(n))
	}
	return list
}

// found is what is there of a wish.
type found struct {
	named, providing []nevra
	obsoleting       bool // something that takes its place
}

func (f found) packages() []nevra {
	if len(f.named) > 0 {
		return f.named
	}
	return f.providing
}

func (f found) there() bool { return len(f.packages()) > 0 || f.obsoleting }

// databaseLines is how rpm is asked for everything that a wish can mean.
const databaseLines = `N\t%{NAME}\t%|EPOCH?{%{EPOCH}}:{0}|\t%{VERSION}\t%{RELEASE}\t%{ARCH}\n` +
	`[P\t%{PROVIDENAME}\t%{PROVIDEVERSION}\n][O\t%{OBSOLETENAME}\n]`

// look asks the package database, once for all wishes.
func (r *transactions) look(ctx context.Context, wishes []wish) ([]found, error) {
	return r.lookBy(ctx, wishes, wish.names)
}

func (r *transactions) lookBy(ctx context.Context, wishes []wish, same func(wish, nevra) bool) ([]found, error) {
	all := make([]found, len(wishes))
	if err := query(ctx, r.s.Machine, databaseReader(wishes, all, same), "-qa", "--qf", databaseLines); err != nil {
		return nil, err
	}
	for i, w := range wishes {
		if !w.file() || all[i].there() {
			continue
		}
		err := query(ctx, r.s.Machine, func(f []string) {
			if p, is := packageLine(f); is {
				all[i].providing = append(all[i].providing, p)
			}
		}, "-q", "--qf", strings.Split(databaseLines, "[")[0], "--whatprovides", "--", w.text)
		if err != nil && hostcmd.ExitStatus(err) < 1 {
			return nil, err
		}
	}
	return all, nil
}

func packageLine(f []string) (p nevra, is bool) {
	if len(f) != 6 || f[0] != "N" || f[1] == "gpg-pubkey" {
		return p, false
	}
	return nevra{f[1], f[5], evr{f[2], f[3], f[4]}}, true
}

// databaseReader takes the lines of databaseLines.
func databaseReader(wishes []wish, all []found, same func(wish, nevra) bool) func(f []string) {
	var now nevra
	return func(f []string) {
		if p, is := packageLine(f); is {
			now = p
		}
		for i, w := range wishes {
			switch {
			case f[0] == "N" && len(f) == 6 && same(w, now):
				all[i].named = append(all[i].named, now)
			case f[0] == "P" && len(f) >= 2 && w.is(f[1]):
				version := evr{}
				if len(f) > 2 && f[2] != "" {
					version = parseEVR(f[2])
				}
				if w.fits(version) && !slices.Contains(all[i].providing, now) {
					all[i].providing = append(all[i].providing, now)
				}
			case f[0] == "O" && len(f) >= 2 && f[1] == w.text:
				all[i].obsoleting = true
			}
		}
	}
}
