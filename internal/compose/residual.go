package compose

import (
	"strconv"

	"imagecustomizer/internal/config"
)

// residual is what is left of conditions that all must be true when everything is carried out in them that is known: an
// expression that asks for nothing but facts of the base image. It is empty where nothing is left.
func (c *composer) residual(conds []*config.Node, vars map[string]*variable) string {
	s := scope{c: c, variables: vars, when: true, needed: true}
	var all *expr
	for _, n := range conds {
		for _, p := range s.conditions(n) {
			if _, known := s.truth(p); known || p.e == nil {
				continue
			}
			if left := s.reduce(p.e); all == nil {
				all = left
			} else {
				all = &expr{op: "&&", left: all, right: left}
			}
		}
	}
	if all == nil {
		return ""
	}
	text := all.String()
	if all.right != nil {
		text = text[1 : len(text)-1] // of parentheses
	}
	return text
}

// reduce puts values in the place of what is known of an expression that has no mistakes.
func (s scope) reduce(e *expr) *expr {
	if t, err := s.eval(e); err == nil && t.known {
		return literal(t)
	}
	switch e.op {
	case "&&", "||": // what is known does not settle it, so it says nothing
		for _, side := range [][2]*expr{{e.left, e.right}, {e.right, e.left}} {
			if t, err := s.eval(side[0]); err == nil && t.known {
				return s.reduce(side[1])
			}
		}
	case "name":
		return e
	case "!":
		return &expr{op: e.op, left: s.reduce(e.left)}
	}
	return &expr{op: e.op, left: s.reduce(e.left), right: s.reduce(e.right)}
}

// literal is a value as an expression.
func literal(t typed) *expr {
	switch t.value.Kind {
	case config.BoolValue:
		return &expr{op: "bool", text: strconv.FormatBool(t.value.Bool)}
	case config.IntValue:
		return &expr{op: "number", text: strconv.FormatInt(t.value.Int, 10)}
	}
	return &expr{op: "text", text: t.value.Text}
}
