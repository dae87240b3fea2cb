package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
)

// Matrix is what the section matrix of a config comes to: several runs, with other values in each.
type Matrix struct {
	Names   []string // of values: the axes, then what only include adds
	Entries []Entry  // that are selected
	All     int      // how many there are
}

// Entry is one run of a matrix: a value for each of its names.
type Entry map[string]string

// Label names an entry by its values of these names.
func (e Entry) Label(names []string) string {
	var list []string
	for _, n := range names {
		if v, has := e[n]; has {
			list = append(list, n+"="+v)
		}
	}
	return strings.Join(list, ", ")
}

// LoadMatrix reads the matrix of a config. It is nil where the config has none; what is wrong with it is in the report.
// The error is that the file cannot be read.
func LoadMatrix(top string, files *Files, selections []string) (*Matrix, *config.Report, error) {
	report := config.NewReport()
	f, err := files.Top(top)
	if err != nil {
		return nil, report, fmt.Errorf("cannot read the config file: %w", err)
	}
	if top == Stdin {
		top = stdinName
	}
	doc := parse(report, top, f.Text)
	switch {
	case doc.Unreadable():
		return nil, config.NewReport(), nil // whoever loads the config reports it
	case !slices.Contains(doc.Keys(), "matrix"):
		if len(selections) > 0 {
			report.Add(top, "--matrix-select is for a config with a matrix, and this one has none")
		}
		return nil, report, nil
	}
	var s struct {
		Matrix grid `yaml:"matrix"`
	}
	doc.Only("matrix").Decode(&s, config.Options{})
	g := s.Matrix
	if report.Failed() || g.at == nil {
		return nil, report, nil
	}
	m := &Matrix{Names: g.names()}
	entries := g.entries()
	m.All = len(entries)
	selected := g.selections(selections, entries, report)
	for _, e := range entries {
		if len(selections) == 0 || slices.ContainsFunc(selected, func(s selection) bool { return s.takes(e) }) {
			m.Entries = append(m.Entries, e)
		}
	}
	if n := len(m.Entries); n > maxEntries {
		g.at.Errorf("the matrix has %d entries, of which one command runs %d at most", n, maxEntries).Hint("choose some: --matrix-select %s=%s", g.axes[0].name, g.axes[0].values[0].Text())
	}
	return m, report, nil
}

// entries combines the axes, takes out what is excluded, and adds what is included, as GitHub Actions does: an item of
// include is added to each combination of which it changes no value of an axis; where there is none, it is an entry for
// itself. A value that include added is replaced by a later item.
func (g *grid) entries() []Entry {
	cells, ok := g.cells()
	if !ok {
		return nil
	}
	all := make([]Entry, len(cells))
	for i, c := range cells {
		all[i] = maps.Clone(c)
	}
	for _, add := range g.include {
		added := false
		for i, c := range cells {
			if add.fits(c) {
				maps.Copy(all[i], add.entry())
				added = true
			}
		}
		if !added {
			g.append(&all, add)
		}
	}
	if len(all) == 0 {
		g.at.Errorf("the matrix has no entries: everything is excluded").Hint("bring one back with include, or remove the matrix")
	}
	return all
}

// append adds an item of include as an entry for itself.
func (g *grid) append(all *[]Entry, add combo) {
	e := add.entry()
	switch {
	case len(e) == 0:
		add.at.Errorf("an item of include has values")
	case slices.ContainsFunc(*all, func(other Entry) bool { return maps.Equal(e, other) }):
		add.at.Errorf("the matrix has the entry %s already", e.Label(add.names)).Hint("remove one of them")
	default:
		*all = append(*all, e)
	}
}

// cells are the combinations of all axes without those that are excluded. The last axis changes fastest. That there are
// too many is reported.
func (g *grid) cells() (list []Entry, ok bool) {
	if len(g.axes) == 0 {
		return nil, true
	}
	cells := []Entry{{}}
	for _, a := range g.axes {
		if len(cells)*len(a.values) > maxCells {
			a.at.Errorf("the axes of the matrix have more than %d combinations", maxCells).Hint("remove values, or write several configs")
			return nil, false
		}
		var next []Entry
		for _, c := range cells {
			for _, v := range a.values {
				e := maps.Clone(c)
				e[a.name] = v.Text()
				next = append(next, e)
			}
		}
		cells = next
	}
	return slices.DeleteFunc(cells, func(e Entry) bool {
		return slices.ContainsFunc(g.exclude, func(c combo) bool { return len(c.names) > 0 && c.within(e) })
	}), true
}

// within tells whether all values of a combination are those of an entry.
func (c combo) within(e Entry) bool {
	for _, n := range c.names {
		if e[n] != c.values[n].Text() {
			return false
		}
	}
	return true
}

// fits tells whether a combination changes no value of a cell.
func (c combo) fits(cell Entry) bool {
	for _, n := range c.names {
		if have, is := cell[n]; is && have != c.values[n].Text() {
			return false
		}
	}
	return true
}

func (c combo) entry() Entry {
	e := Entry{}
	for _, n := range c.names {
		e[n] = c.values[n].Text()
	}
	return e
}

// selection is what one --matrix-select takes: for each name, the values that an entry may have.
type selection map[string][]string

func (s selection) takes(e Entry) bool {
	for name, values := range s {
		if !slices.Contains(values, e[name]) {
			return false
		}
	}
	return true
}

// selections reads the flags that choose entries.
func (g *grid) selections(flags []string, entries []Entry, report *config.Report) (list []selection) {
	for _, flag := range flags {
		s, where := selection{}, "--matrix-select "+flag
		for part := range strings.SplitSeq(flag, ",") {
			name, value, ok := strings.Cut(part, "=")
			switch values := g.texts(name); {
			case !ok || name == "":
				report.Add(where, "%q selects nothing", part).Hint("write --matrix-select NAME=VALUE,NAME=VALUE")
			case len(values) == 0:
				report.Add(where, "the matrix has no %s", name).Hint("%s", config.DidYouMean(name, g.names(), "it has "+strings.Join(g.names(), ", ")))
			case !slices.Contains(values, value):
				report.Add(where, "%s is never %q in the matrix", name, value).Hint("%s", config.DidYouMean(value, values, "it is one of "+strings.Join(values, ", ")))
			default:
				s[name] = append(s[name], value)
				continue
			}
			s = nil
			break
		}
		if s != nil && !slices.ContainsFunc(entries, s.takes) {
			report.Add(where, "no entry of the matrix is that").Hint("--list shows the entries")
		}
		list = append(list, s)
	}
	return list
}

// texts are the values that a name has.
func (g *grid) texts(name string) (list []string) {
	for _, n := range g.nodes(name) {
		if !slices.Contains(list, n.Text()) {
			list = append(list, n.Text())
		}
	}
	return list
}

// Telling are the names whose values tell the entries apart.
func (m *Matrix) Telling() (names []string) {
	for _, n := range m.Names {
		if slices.ContainsFunc(m.Entries, func(e Entry) bool { return e[n] != m.Entries[0][n] }) {
			names = append(names, n)
		}
	}
	return names
}

// LoadEntries composes the config of each entry. The report is of all of them.
func (m *Matrix) LoadEntries(top string, files *Files, o Options) ([]*Result, *config.Report, error) {
	var results []*Result
	var reports []*config.Report
	var labels []string
	for _, e := range m.Entries {
		o.Entry = e
		r, err := Load(top, files, o)
		if err != nil {
			return nil, nil, err
		}
		results, reports, labels = append(results, r), append(reports, r.Report), append(labels, e.Label(m.Telling()))
	}
	for _, i := range results[0].idle {
		same := func(x idle) bool { return x.what == i.what }
		if !slices.ContainsFunc(results, func(r *Result) bool { return !slices.ContainsFunc(r.idle, same) }) {
			for _, r := range results {
				for _, own := range r.idle {
					if same(own) {
						own.at.Warnf("%s", own.what).Hint("%s", own.hint)
					}
				}
			}
		}
	}
	return results, config.Join(reports, labels), nil
}

// LoadAll composes the config that a file is the top of, or, where it has a matrix, that of each entry that is selected. The
// report is of all of them, and there are no results where it has errors of the matrix.
func LoadAll(top string, files *Files, o Options) (*Matrix, []*Result, *config.Report, error) {
	m, report, err := LoadMatrix(top, files, o.Select)
	if err == nil && m != nil && !report.Failed() {
		results, all, err := m.LoadEntries(top, files, o)
		return m, results, all, err
	}
	if err != nil {
		return nil, nil, nil, err
	}
	wrong := report.Failed()
	if wrong {
		o.Entry = Entry{} // not known: all else that is wrong is shown at once
	}
	r, err := Load(top, files, o)
	if err != nil {
		return nil, nil, nil, err
	}
	if wrong {
		return m, nil, config.Join([]*config.Report{report, r.Report}, []string{"", ""}), nil
	}
	return nil, []*Result{r}, r.Report, nil
}
