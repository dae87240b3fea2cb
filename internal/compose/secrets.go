package compose

import (
	"strings"

	"imagecustomizer/internal/config"
)

// conceal hides what flows into a secret field: the values of the texts that its expressions name, wherever they stand.
func (x expander) conceal(list []segment, at *config.At) {
	for _, s := range list {
		if !s.expr {
			continue
		}
		e, err := parseExpr(s.text)
		if err != nil {
			continue // which is reported
		}
		for _, name := range e.names() {
			x.c.openlyIn(name, at)
			env, _ := strings.CutPrefix(name, "env.")
			for _, v := range x.vars {
				if v.name == name || v.From.Env == env {
					x.c.settle(v)
					x.c.concealVariable(v, at)
				}
			}
		}
	}
}

// names are those that an expression mentions.
func (e *expr) names() []string {
	switch {
	case e == nil:
		return nil
	case e.op == "name":
		return []string{e.text}
	}
	return append(e.left.names(), e.right.names()...)
}

// concealVariable hides the value of a variable that is used in a secret field, unless it cannot be a secret.
func (c *composer) concealVariable(v *variable, at *config.At) {
	if v.Type != "string" && v.Type != "secret" && v.Type != "list" {
		return
	}
	if v.fallback != nil {
		v.fallback.At().Hide()
	}
	for _, s := range c.settings {
		switch {
		case s.name != v.name:
		case s.node != nil:
			s.node.At().Hide()
		default:
			c.report.HideText(*s.text)
			if strings.HasPrefix(s.flag, "--set ") {
				c.report.Warn(s.flag, "%s is used in %s, and the process list shows the command line", v.name, at.Path()).Hint("declare it as \"%s: {type: secret}\", and use --set-file %s=FILE", v.name, v.name)
			}
		}
	}
	if text, there := c.files.Env[v.From.Env]; there {
		c.report.HideText(text)
	}
	for _, one := range append([]config.Value{v.value}, v.value.List...) {
		c.report.HideText(one.Text)
	}
}
