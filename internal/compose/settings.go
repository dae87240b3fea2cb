package compose

import (
	"strings"

	"imagecustomizer/internal/config"
)

// setting is a value that the command line gives to a variable.
type setting struct {
	name string
	flag string       // as messages show where it comes from
	text *string      // of --set and --set-file
	node *config.Node // of --vars
}

// readSettings reads the flags that set variables, those that win first.
func (c *composer) readSettings() {
	for _, s := range c.options.Set {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			c.report.Add("--set "+s, "this sets nothing").Hint("write --set NAME=VALUE")
			continue
		}
		c.settings = append([]setting{{name: name, flag: "--set " + name, text: &value}}, c.settings...)
	}
	for _, s := range c.options.SetFiles {
		name, path, ok := strings.Cut(s, "=")
		if !ok || name == "" || path == "" {
			c.report.Add("--set-file "+s, "this sets nothing").Hint("write --set-file NAME=FILE")
			continue
		}
		f, err := c.files.Further(path)
		if err != nil {
			c.report.Add("--set-file "+s, "cannot read the file: %s", config.Reason(err))
			continue
		}
		value := strings.TrimSuffix(string(f.Text), "\n")
		c.settings = append([]setting{{name: name, flag: "--set-file " + name, text: &value}}, c.settings...)
	}
	for i := len(c.options.Vars) - 1; i >= 0; i-- {
		c.readVars(c.options.Vars[i])
	}
}

// readFacts reads the flags that say what the base image is.
func (c *composer) readFacts() {
	c.given = map[string]string{}
	for _, g := range c.options.Given {
		name, value, ok := strings.Cut(g, "=")
		switch {
		case !ok || name == "":
			c.report.Add("--fact "+g, "this says nothing").Hint("write --fact NAME=VALUE")
		case !contains(facts, name):
			c.report.Add("--fact "+g, "there is no fact %s", name).Hint("%s", config.DidYouMean(name, facts, "the facts are "+strings.Join(facts, ", ")))
		default:
			c.given[name] = value
		}
	}
}

// readVars reads a file of values.
func (c *composer) readVars(name string) {
	f, err := c.files.Further(name)
	if err != nil {
		c.report.Add("--vars "+name, "cannot read the file: %s", config.Reason(err))
		return
	}
	doc := c.report.Parse(name, f.Text)
	root := doc.Root()
	switch {
	case doc.Unreadable() || root.Kind() == config.Null:
		return
	case root.Kind() != config.Map:
		root.At().Errorf("a file of values is a mapping of names and values")
		return
	}
	for _, p := range root.Pairs() {
		c.settings = append(c.settings, setting{name: p.Key, flag: "--vars " + name, node: p.Value})
	}
}

// value is the setting as a value of the variable's type.
func (s setting) value(c *composer, v *variable) (config.Value, bool) {
	if s.node != nil {
		return v.of(v.Type, s.node)
	}
	value, err := v.parse(v.Type, *s.text, c.files.Dir)
	if err != nil {
		c.report.Add(s.flag, "%v", err)
	}
	return value, err == nil
}

// checkSettings reports settings of variables that nobody declares.
func (c *composer) checkSettings(declared map[string]*variable) {
	for _, s := range c.settings {
		switch {
		case declared[s.name] != nil || s.flag == ofMatrix:
		case s.node != nil:
			s.node.At().Warnf("no variable %s is declared", s.name).Hint("%s", config.DidYouMean(s.name, sortedKeys(declared), "the value is not used"))
		default:
			c.report.Add(s.flag, "no variable %s is declared", s.name).Hint("%s", config.DidYouMean(s.name, sortedKeys(declared), "declared are: "+strings.Join(sortedKeys(declared), ", ")))
		}
	}
}
