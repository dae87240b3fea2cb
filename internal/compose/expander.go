package compose

import (
	"slices"
	"strings"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/step"
)

// expander carries out the expressions of a part.
type expander struct {
	c      *composer
	vars   map[string]*variable
	all    bool // all list items stay, whatever their conditions
	needed bool // a value that is missing is a mistake
	open   bool // list items stay whose conditions ask for what is not known
}

// nothing is what stands in the place of an expression whose value is not known.
var nothing = config.Value{Kind: config.NoValue}

// Text carries out the expressions of a text. A text that is one expression takes its type.
func (x expander) Text(text string, at *config.At) (config.Value, bool) {
	if !strings.Contains(text, "${{") {
		return config.Value{}, false
	}
	list, err := segments(text)
	if err != nil {
		at.Errorf("%v", err)
		return nothing, true
	}
	if is, _ := config.SecretField(step.Root, at.Path()); is {
		x.conceal(list, at)
	}
	if names := x.secretsOf(list); len(names) > 0 {
		return x.secretText(list, names, at), true
	}
	var b strings.Builder
	known := true
	if !x.spend(0, at) {
		return nothing, true
	}
	for _, s := range list {
		if !s.expr {
			b.WriteString(s.text)
			continue
		}
		v, ok := x.value(s.text, at)
		switch {
		case ok && !x.spend(v.Size(), at):
			return nothing, true
		case ok && len(list) == 1:
			return v, true
		case ok && v.Kind == config.ListValue:
			at.Errorf("%s is a list, which cannot stand within a text", s.text)
			return nothing, true
		}
		known = known && ok
		b.WriteString(v.String())
	}
	if !known {
		return nothing, true
	}
	return config.Value{Text: b.String()}, true
}

// spend tells whether expressions may come to so many bytes more.
func (x expander) spend(bytes int, at *config.At) bool {
	spent := &x.c.spent
	if x.all {
		spent = &x.c.checked
	}
	before := *spent
	if *spent += bytes; *spent > config.MaxText && before <= config.MaxText {
		at.Errorf("expressions come to more than %d MiB of text, the last of them here", config.MaxText>>20).Hint("use the long text once, or put it into a file that the image gets")
	}
	return *spent <= config.MaxText
}

// value is that of one expression. A mistake is reported.
func (x expander) value(source string, at *config.At) (config.Value, bool) {
	e, err := parseExpr(source)
	if err != nil {
		at.Errorf("%v", err)
		return config.Value{}, false
	}
	t, err := scope{c: x.c, variables: x.vars, needed: x.needed}.eval(e)
	if err != nil {
		at.Errorf("%v", err)
	}
	return t.value, err == nil && t.known
}

// Keep tells whether a list item stays, and under which condition.
func (x expander) Keep(when *config.Node) (stays bool, left string) {
	holds, known := x.c.condition(when, x.vars)
	if !known {
		x.c.waiting = true
		if key, _, _ := strings.Cut(when.At().Path(), "."); !slices.Contains(late, key) {
			when.At().Errorf("%s cannot depend on what the base image is", key).Hint("%s", lateHint)
		}
	}
	if x.open && !known {
		return true, x.c.residual([]*config.Node{when}, x.vars)
	}
	return x.all || holds && known, ""
}

// path is that of an include.
func (x expander) path(n *config.Node) (path string, changed bool) {
	if n.Kind() != config.Text {
		n.At().Errorf("path: expected the path of a config file")
		return "", false
	}
	v, changed := x.Text(n.Text(), n.At())
	if !changed {
		return n.Text(), false
	}
	return v.String(), true
}
