package apt

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/machine"
	"imagecustomizer/internal/pkgmgr"
)

// Check looks for names that no package has, in dpkg's database and in the indexes. It runs no program
// of the image. Where an index cannot be read here, only apt knows what there is.
func (Manager) Check(ctx context.Context, m *machine.Machine, o pkgmgr.Options, install, update, remove []string) (faults []pkgmgr.Fault) {
	p, err := planApt(m, o)
	if err != nil {
		return []pkgmgr.Fault{{Text: err.Error()}}
	}
	for _, l := range p.left {
		m.Log.Warn("a source of packages is not used", "source", l)
	}
	for _, n := range slices.Concat(install, update, remove) {
		if f := misread(n); f != nil {
			faults = append(faults, *f)
		}
	}
	if len(faults) > 0 {
		return faults
	}
	c := &aptCheck{m: m, wishes: parseDebWishes(install)}
	if c.installed(remove, update); len(c.wishes) > 0 && m.Cache != "" {
		err = c.available(ctx, p, o)
	}
	if err != nil {
		m.Log.Debug("names of packages are not checked", "error", err)
	}
	return c.faults
}

// misread tells what apt would take for something else than a package to be installed.
func misread(name string) *pkgmgr.Fault {
	w := parseDebWish(name)
	switch {
	case strings.HasPrefix(name, "/"), strings.HasPrefix(name, "."):
		return &pkgmgr.Fault{Package: name, Text: fmt.Sprintf("%s is a file", name), Hint: "name the package, and give its folder as --deb-source"}
	case strings.HasSuffix(name, "-"):
		return &pkgmgr.Fault{Package: name, Text: fmt.Sprintf("apt would take %s for an order to remove %s", name, strings.TrimSuffix(name, "-")), Hint: "name it below os.packages.remove"}
	case strings.HasSuffix(name, "=") || strings.HasSuffix(name, "/") || strings.HasSuffix(name, ":") || w.name == "":
		return &pkgmgr.Fault{Package: name, Text: fmt.Sprintf("%s names no package", name), Hint: "write name, name=version, name/suite or name:architecture"}
	}
	return nil
}

// aptCheck looks names up.
type aptCheck struct {
	m      *machine.Machine
	wishes []debWish // to be installed, and not found yet
	faults []pkgmgr.Fault
}

func (c *aptCheck) fault(name, hint, format string, args ...any) {
	c.faults = append(c.faults, pkgmgr.Fault{Package: name, Text: fmt.Sprintf(format, args...), Hint: hint})
}

// installed checks what is to be removed and updated, and takes from the wishes what is there already.
func (c *aptCheck) installed(remove, update []string) {
	there := parseDebWishes(append(slices.Clone(remove), update...))
	named, stands := map[string]bool{}, map[string]string{}
	var names []string
	wished := map[string]bool{}
	err := eachInstalled(c.m.Root, func(s *stanza) {
		names = append(names, string(s.name))
		for _, w := range there {
			if w.named(s) {
				named[w.text] = true
			} else if w.provided(s) {
				stands[w.text] = string(s.name)
			}
		}
		for _, w := range c.wishes {
			wished[w.text] = wished[w.text] || w.satisfied(s) && w.suite == ""
		}
	})
	if err != nil {
		c.fault("", "", "the database of packages cannot be read: %v", err)
		return
	}
	for i, w := range there {
		coming := i >= len(remove) && slices.ContainsFunc(c.wishes, func(x debWish) bool { return x.name == w.name })
		switch by := stands[w.text]; {
		case named[w.text] || w.open() || coming || i >= len(remove) && by != "":
		case by != "":
			c.fault(w.text, fmt.Sprintf("remove %s, which stands for it", by), "%s is not the name of an installed package", w.text)
		default:
			c.fault(w.text, config.DidYouMean(w.name, names, ""), "not installed: %s", w.text)
		}
	}
	c.wishes = slices.DeleteFunc(c.wishes, func(w debWish) bool { return wished[w.text] })
}

// available looks for the wishes in the indexes, and says what there is instead of one that is not there.
func (c *aptCheck) available(ctx context.Context, p *aptPlan, o pkgmgr.Options) error {
	st, err := pkgmgr.OpenStore(c.m.Cache)
	if err != nil {
		return err
	}
	defer st.Close()
	x := fetchApt(ctx, st, p.entries, debArchs(c.m))
	o.Indexes.Keep(x)
	if !x.complete {
		return nil
	}
	versions := map[string][]string{}
	look := func(s *stanza) {
		c.wishes = slices.DeleteFunc(c.wishes, func(w debWish) bool {
			if w.name == string(s.name) {
				versions[w.text] = append(versions[w.text], fmt.Sprintf("%s (%s)", s.version, s.arch))
			}
			return w.satisfied(s) && (w.suite == "" || x.hasSuite(w.suite))
		})
	}
	each := func(use func(*stanza)) error { return p.each(x, use) }
	if err := each(look); err != nil {
		return err
	}
	if c.wishes = slices.DeleteFunc(c.wishes, debWish.open); len(c.wishes) == 0 {
		return nil
	}
	var names []string
	if err := each(func(s *stanza) { names = append(names, string(s.name)) }); err != nil {
		return err
	}
	for _, w := range c.wishes {
		if w.suite != "" && !x.hasSuite(w.suite) {
			c.fault(w.text, "", "%s: no source is the release %s", w.text, w.suite)
			continue
		}
		if v := versions[w.text]; len(v) > 0 {
			c.fault(w.text, "", "%s: the sources have %s only as %s", w.text, w.name, strings.Join(v, ", "))
			continue
		}
		c.fault(w.text, config.DidYouMean(w.name, names, ""), "no source has a package %s", w.text)
	}
	return nil
}

// each calls use for every package of the sources.
func (p *aptPlan) each(x *aptIndex, use func(*stanza)) error {
	for _, f := range p.folders {
		if err := eachStanza(strings.NewReader(f.index), use); err != nil {
			return err
		}
	}
	return x.each(use)
}
