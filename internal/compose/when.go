package compose

import (
	"errors"
	"slices"
	"strings"

	"imagecustomizer/internal/config"
)

// holds tells whether all conditions are true, and whether that is known yet.
func (c *composer) holds(conds []*config.Node, vars map[string]*variable) (holds, known bool) {
	holds, known = true, true
	for _, n := range conds {
		h, k := c.condition(n, vars)
		if k && !h {
			return false, true
		}
		known = known && k
	}
	return holds, known
}

// condition tells whether a condition is true, and whether that is known yet. One that makes no sense is reported, and
// taken for false.
func (c *composer) condition(n *config.Node, vars map[string]*variable) (holds, known bool) {
	s := scope{c: c, variables: vars, when: true, needed: true}
	holds, known = true, true
	for _, one := range s.conditions(n) {
		h, k := s.truth(one)
		holds = holds && (h || !k)
		known = known && k
	}
	return holds, known || !holds
}

// placed is an expression that stands at a place; none, where it makes no sense, which is reported.
type placed struct {
	e  *expr
	at *config.At
}

// conditions are all that must be true for a condition to be.
func (s scope) conditions(n *config.Node) []placed {
	if n.Kind() == config.Map {
		return s.pairs(n)
	}
	if n.Kind() != config.Text {
		n.At().Errorf("when: expected an expression, or a mapping of names and what they are").
			Hint("write \"when: {profile: debug}\", or \"when: distro == 'debian' && role == 'web'\"")
		return []placed{{at: n.At()}}
	}
	source := n.Text()
	if list, err := segments(source); err == nil && len(list) == 1 && list[0].expr {
		source = list[0].text
	}
	e, err := parseExpr(source)
	if err != nil {
		n.At().Errorf("when: %v", err)
		e = nil
	}
	return []placed{{e, n.At()}}
}

// truth evaluates a condition.
func (s scope) truth(p placed) (holds, known bool) {
	if p.e == nil {
		return false, true
	}
	t, err := s.eval(p.e)
	if err == nil {
		err = wantBool("when", p.e, t)
	}
	if err != nil {
		p.at.Errorf("%v", err)
		return false, true
	}
	return t.value.Bool, t.known
}

// pairs are the conditions of a mapping: each name is one of the values given for it.
func (s scope) pairs(n *config.Node) (list []placed) {
	for _, p := range n.Pairs() {
		one := placed{at: p.KeyAt}
		for _, v := range singles(p.Value) {
			if v.Kind() != config.Text {
				v.At().Errorf("when: %s is compared with a single value", p.Key)
				one.e = nil
				break
			}
			equal := s.equals(p.Key, v.Text())
			if one.e == nil {
				one.e = equal
			} else {
				one.e = &expr{op: "||", left: one.e, right: equal}
			}
		}
		list = append(list, one)
	}
	return list
}

// singles are the items of a list; anything else is one itself.
func singles(n *config.Node) []*config.Node {
	if n.Kind() == config.List {
		return n.Items()
	}
	return []*config.Node{n}
}

// equals is the condition that a name is a value, which is read as the name's type has it.
func (s scope) equals(name, value string) *expr {
	if name == "profile" {
		return &expr{op: "name", text: "profile." + value}
	}
	literal := &expr{op: "text", text: value}
	switch s.kindOf(name) {
	case "bool":
		literal.op = "bool"
	case "int":
		literal.op = "number"
	}
	return &expr{op: "==", left: &expr{op: "name", text: name}, right: literal}
}

// kindOf is the type of what a name means, empty where that is no variable and no value of the matrix.
func (s scope) kindOf(name string) string {
	if n, ok := strings.CutPrefix(name, "matrix."); ok && s.c.grid != nil {
		return s.c.grid.kind(n)
	}
	if v := s.variables[name]; v != nil {
		return v.kind()
	}
	return ""
}

// mention notes the profiles that the condition of an include names, which need no section of their own.
func (c *composer) mention(n *config.Node) {
	if n.Kind() != config.Map || !n.At().Has("profile") {
		return
	}
	for _, v := range singles(n.At().Field("profile").Node()) {
		if v.Kind() == config.Text && c.mentioned[v.Text()] == nil {
			c.mentioned[v.Text()] = v.At()
		}
	}
}

// profile tells whether a profile is selected.
func (c *composer) profile(name string) (typed, error) {
	if _, defined := c.profiles[name]; !defined && c.mentioned[name] == nil {
		return typed{}, errors.New(c.noProfile(name))
	}
	return boolean(slices.Contains(c.options.Profiles, name), true), nil
}

func (c *composer) noProfile(name string) string {
	names := c.profileNames()
	otherwise := "the config has none"
	if len(names) > 0 {
		otherwise = "there are " + strings.Join(names, ", ")
	}
	return "there is no profile " + name + ": " + config.DidYouMean(name, names, otherwise)
}

func (c *composer) profileNames() []string {
	names := sortedKeys(c.profiles)
	for _, n := range sortedKeys(c.mentioned) {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// checkProfiles reports profiles that are asked for and not there, and names that look like a misspelt one.
func (c *composer) checkProfiles() {
	var selected []string
	for _, name := range c.options.Profiles {
		if !slices.Contains(c.profileNames(), name) && !c.wrongEntry("profile", name, c.noProfile(name)) {
			c.report.Add("--profile "+name, "%s", c.noProfile(name))
		}
		if !slices.Contains(selected, name) {
			selected = append(selected, name)
		}
	}
	c.options.Profiles = selected
	for _, name := range sortedKeys(c.mentioned) {
		if _, defined := c.profiles[name]; defined {
			continue
		}
		if hint := config.DidYouMean(name, sortedKeys(c.profiles), ""); hint != "" {
			c.mentioned[name].Errorf("there is no profile %s", name).Hint("%s If it is another one, declare it: \"profiles: {%s: }\"", hint, name)
		}
	}
}
