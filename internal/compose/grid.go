package compose

import (
	"regexp"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
)

// Bounds of a matrix.
const (
	maxCells   = 20000 // combinations of all axes, before anything is selected
	maxEntries = 256   // that one command runs, as many as GitHub Actions takes
	maxCombos  = 500   // items of include and exclude
)

// grid is the section matrix of a config as it is written: axes, whose values are combined with each other, and
// combinations to take out and to add.
type grid struct {
	at      *config.At
	axes    []axis
	exclude []combo
	include []combo
}

// axis is a name of a matrix with its values.
type axis struct {
	name   string
	at     *config.At
	values []*config.Node
}

// combo is an item of exclude or include: values of some names.
type combo struct {
	at     *config.At
	names  []string // in the order of the file
	values map[string]*config.Node
}

// TakesEmpty tells that an empty mapping may stand there.
func (grid) TakesEmpty(k config.Kind) bool { return k == config.Map }

// UnmarshalConfig reads a matrix.
func (g *grid) UnmarshalConfig(n *config.Node) {
	g.at = n.At()
	if n.Kind() != config.Map {
		n.At().Errorf("matrix: expected a mapping of names and lists of values").Hint("write \"matrix: {profile: [azure, aws], format: [qcow2, vhdx]}\"")
		return
	}
	for _, p := range n.Pairs() {
		switch p.Key {
		case "include":
			g.include = combos(p)
		case "exclude":
			g.exclude = combos(p)
		default:
			g.addAxis(p)
		}
	}
	for _, p := range n.Unset() {
		if p.Key != "include" && p.Key != "exclude" {
			p.KeyAt.Errorf("%s has no values", p.Key).Hint("write \"%s: [a, b]\", or remove it", p.Key)
		}
	}
	g.checkExcluded()
}

var axisName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// named reports a name that no value of a matrix can have.
func named(p config.Pair) bool {
	switch {
	case p.Key == "arch":
		p.KeyAt.Errorf("arch cannot be in a matrix: programs of images of other architectures than this host's cannot run yet").
			Hint("run one matrix on each architecture, with base images of it")
	case !axisName.MatchString(p.Key):
		p.KeyAt.Errorf("%q cannot be a name in a matrix", p.Key).Hint("use letters, digits, \"_\" and \"-\"")
	default:
		return true
	}
	return false
}

func (g *grid) addAxis(p config.Pair) {
	if !named(p) {
		return
	}
	if p.Value.Kind() != config.List {
		p.Value.At().Errorf("%s: expected a list of values", p.Key).Hint("write \"%s: [%s]\"", p.Key, oneOf(p.Value))
		return
	}
	a := axis{name: p.Key, at: p.KeyAt}
	for _, v := range p.Value.Items() {
		switch {
		case !plainValue(p.Key, v):
		case a.find(v.Text()) != nil:
			v.At().Errorf("%s has the value %q twice", p.Key, v.Text()).Hint("remove one of them")
		default:
			a.values = append(a.values, v)
		}
	}
	g.axes = append(g.axes, a)
}

// oneOf is a value as an example of a list has it.
func oneOf(n *config.Node) string {
	if n.Kind() == config.Text {
		return n.Text()
	}
	return "a, b"
}

// plainValue reports what cannot be a value of a matrix.
func plainValue(name string, n *config.Node) bool {
	switch {
	case n.Kind() != config.Text || n.Text() == "":
		n.At().Errorf("%s: a value in a matrix is a text, a number, true or false", name)
	case strings.Contains(n.Text(), "${{"):
		n.At().Errorf("%s: a value in a matrix cannot be an expression: the matrix says what expressions come to", name).Hint("put the expression where the value is used")
	default:
		return true
	}
	return false
}

// find is the value of an axis with that text.
func (a axis) find(text string) *config.Node {
	for _, v := range a.values {
		if v.Text() == text {
			return v
		}
	}
	return nil
}

// combos reads include or exclude.
func combos(p config.Pair) (list []combo) {
	if p.Value.Kind() != config.List {
		p.Value.At().Errorf("%s: expected a list of mappings", p.Key).Hint("write \"%s: [{profile: aws, format: vhdx}]\"", p.Key)
		return nil
	}
	if items := p.Value.Items(); len(items) > maxCombos {
		p.KeyAt.Errorf("%s has %d items, and %d are allowed", p.Key, len(items), maxCombos)
		return nil
	}
	for _, item := range p.Value.Items() {
		if item.Kind() != config.Map {
			item.At().Errorf("%s: expected a mapping of names and values", p.Key).Hint("write \"- {profile: aws, format: vhdx}\"")
			continue
		}
		c := combo{at: item.At(), values: map[string]*config.Node{}}
		for _, v := range item.Pairs() {
			if (v.Key == "include" || v.Key == "exclude" || named(v)) && plainValue(v.Key, v.Value) {
				c.names, c.values[v.Key] = append(c.names, v.Key), v.Value
			}
		}
		for _, v := range item.Unset() {
			v.KeyAt.Errorf("%s has no value", v.Key)
		}
		list = append(list, c)
	}
	return list
}

func (g *grid) axis(name string) *axis {
	i := slices.IndexFunc(g.axes, func(a axis) bool { return a.name == name })
	if i < 0 {
		return nil
	}
	return &g.axes[i]
}

// checkExcluded reports what exclude names and is not there: it would take nothing out.
func (g *grid) checkExcluded() {
	for _, c := range g.exclude {
		for _, name := range c.names {
			a := g.axis(name)
			switch {
			case a == nil:
				c.at.Key(name).Errorf("exclude: %s is no axis of the matrix", name).
					Hint("%s", config.DidYouMean(name, g.axisNames(), "what only include adds is left out by removing it there"))
			case a.find(c.values[name].Text()) == nil:
				c.values[name].At().Errorf("exclude: %s is never %q", name, c.values[name].Text()).
					Hint("%s", config.DidYouMean(c.values[name].Text(), a.texts(), "it is one of "+strings.Join(a.texts(), ", ")))
			}
		}
	}
}

func (g *grid) axisNames() (names []string) {
	for _, a := range g.axes {
		names = append(names, a.name)
	}
	return names
}

func (a axis) texts() (list []string) {
	for _, v := range a.values {
		list = append(list, v.Text())
	}
	return list
}

// names are those of all values, axes first.
func (g *grid) names() []string {
	names := g.axisNames()
	for _, c := range g.include {
		for _, n := range c.names {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

// nodes are all values that a name has in the file.
func (g *grid) nodes(name string) (list []*config.Node) {
	if a := g.axis(name); a != nil {
		list = append(list, a.values...)
	}
	for _, c := range g.include {
		if v := c.values[name]; v != nil {
			list = append(list, v)
		}
	}
	return list
}

// place is where a name gets a value.
func (g *grid) place(name, text string) *config.Node {
	for _, n := range g.nodes(name) {
		if n.Text() == text {
			return n
		}
	}
	return nil
}
