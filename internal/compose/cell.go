package compose

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"imagecustomizer/internal/config"
)

// ofMatrix is the flag of settings that come from the matrix.
const ofMatrix = "matrix"

// enter takes the matrix of a file, and the values of the entry for which the config is composed: the profile of that
// name, and for variables of the same names.
func (c *composer) enter(g grid, included bool) {
	switch {
	case g.at == nil:
		return
	case included:
		g.at.Errorf("only the file that the command line names can have a matrix").Hint("move it there")
		return
	}
	c.grid = &g
	if c.options.Entry == nil {
		g.at.Errorf("the config has a matrix: it comes to one config for each entry").Hint("choose an entry with --matrix-select")
	}
	for _, name := range sortedKeys(c.options.Entry) {
		node := g.place(name, c.options.Entry[name])
		switch {
		case node == nil:
			g.at.Errorf("the matrix has no %s=%s", name, c.options.Entry[name])
		case name == "profile":
			c.options.Profiles = append([]string{node.Text()}, c.options.Profiles...)
		default:
			c.settings = append([]setting{{name: name, flag: ofMatrix, node: node}}, c.settings...)
		}
	}
}

// checkEntry reports values of the matrix that are set in another way too, or cannot be in a matrix.
func (c *composer) checkEntry(vars map[string]*variable) {
	if c.grid == nil {
		return
	}
	names := c.grid.names()
	for _, s := range c.settings {
		if s.flag == ofMatrix || !slices.Contains(names, s.name) {
			continue
		}
		const what, hint = "%s is in the matrix, which gives it its values", "choose entries with --matrix-select %s=VALUE"
		if s.node != nil {
			s.node.At().Warnf(what, s.name).Hint(hint, s.name)
		} else {
			c.report.Add(s.flag, what, s.name).Hint(hint, s.name)
		}
	}
	for _, name := range names {
		if v := vars[name]; v != nil && v.Type == "secret" {
			for _, n := range c.grid.nodes(name) {
				n.At().Hide()
			}
			c.grid.nodes(name)[0].At().Errorf("%s is a secret, which cannot be in a matrix: its values are in the names of entries, in logs and in the summary", name).
				Hint("give each entry a variable of its own for it, from the environment or a file")
			v.broken = true
		}
	}
}

// wrongEntry reports that a value of the matrix is wrong, if it is from there.
func (c *composer) wrongEntry(name, text, why string) bool {
	if c.grid == nil || c.options.Entry[name] != text {
		return false
	}
	c.grid.place(name, text).At().Errorf("%s", why)
	return true
}

var wholeNumber = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,17})$`)

// kind is the type that all values of a name have: bool or int where all of them are written so, else text.
func (g *grid) kind(name string) string {
	all := func(is func(text string) bool) bool {
		nodes := g.nodes(name)
		return len(nodes) > 0 && !slices.ContainsFunc(nodes, func(n *config.Node) bool {
			_, quoted := n.Document().Plain().(string)
			return quoted || !is(n.Text())
		})
	}
	switch {
	case all(func(s string) bool { return s == "true" || s == "false" }):
		return "bool"
	case all(wholeNumber.MatchString):
		return "int"
	}
	return "text"
}

// cell is the value that the entry of the matrix has of a name.
func (s scope) cell(name string) (typed, error) {
	g := s.c.grid
	if g == nil {
		return typed{}, fmt.Errorf("the config has no matrix, and so no matrix.%s", name)
	}
	names := g.names()
	if !slices.Contains(names, name) {
		return typed{}, fmt.Errorf("the matrix has no %s: %s", name, config.DidYouMean(name, names, "it has "+strings.Join(names, ", ")))
	}
	s.c.used["matrix."+name] = true
	t := typed{kind: g.kind(name)}
	if t.kind == "text" {
		t.values = g.texts(name)
	}
	value, has := s.c.options.Entry[name]
	if !has {
		if s.needed && len(s.c.options.Entry) > 0 { // else it is not known for which entry, which is reported
			return t, fmt.Errorf("the entry %s of the matrix has no %s: give it one, or declare a variable %s with a default and write ${{ %s }}: the matrix sets it where it has one",
				s.c.options.Entry.Label(names), name, name, name)
		}
		return t, nil
	}
	t.known = true
	switch t.kind {
	case "bool":
		t.value = config.Value{Kind: config.BoolValue, Bool: value == "true"}
	case "int":
		n, err := strconv.ParseInt(value, 10, 64)
		t.value = config.Value{Kind: config.IntValue, Int: n}
		return t, err
	default:
		t.value = config.Value{Text: value}
	}
	return t, nil
}

// openlyIn reports a value of the matrix in a secret field.
func (c *composer) openlyIn(name string, at *config.At) {
	n, of := strings.CutPrefix(name, "matrix.")
	if c.grid != nil && slices.Contains(c.grid.names(), n) {
		at.Errorf("%s is in the matrix, whose values are shown: it cannot be in a secret", n)
	} else if of {
		at.Errorf("values of a matrix are shown: they cannot be in a secret")
	}
}

// idle is what no expression names.
type idle struct {
	at         *config.At
	what, hint string
}

// checkAxes reports what the matrix has and nobody uses.
func (c *composer) checkAxes(vars map[string]*variable) {
	if c.grid == nil {
		return
	}
	for _, name := range c.grid.names() {
		if name == "profile" || vars[name] != nil || c.used["matrix."+name] {
			continue
		}
		at := c.grid.nodes(name)[0].At()
		if a := c.grid.axis(name); a != nil {
			at = a.at
		}
		c.unused(at, fmt.Sprintf("%s of the matrix is not used", name), fmt.Sprintf("remove it, or name it in an expression: ${{ matrix.%s }}", name))
	}
}
