package compose

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"imagecustomizer/internal/config"
)

// VariableType is the type of a variable.
type VariableType string

// Values lists the types.
func (VariableType) Values() []string {
	return []string{"string", "int", "bool", "size", "path", "enum", "list", "secret"}
}

// Variable declares a variable, which expressions in other fields name.
type Variable struct {
	Type    VariableType `yaml:"type" doc:"Type of the value. A path is relative to the file that sets it."`
	Of      VariableType `yaml:"of" doc:"Type of the items of a list." default:"string"`
	Default config.Raw   `yaml:"default" doc:"Value where none is set. Without it, one must be."`
	Doc     string       `yaml:"doc" doc:"What it is for."`
	Pattern string       `yaml:"pattern" doc:"Regular expression that a string must match as a whole."`
	Min     *int         `yaml:"min" doc:"Least number."`
	Max     *int         `yaml:"max" doc:"Largest number."`
	Values  []string     `yaml:"values" doc:"Values of an enum."`
	From    Source       `yaml:"from" doc:"Where the value comes from, instead of the command line. Only in the file that the command line names."`
	Public  bool         `yaml:"public" doc:"The value comes from the environment and may be shown."`

	AllowShort   bool     `yaml:"allowShort" doc:"The secret may have less than 8 bytes."`
	MayBeInImage []string `yaml:"mayBeInImage" doc:"Files of the image that may be written with the secret. That it got nowhere else is not looked for yet." example:"[/etc/wpa_supplicant.conf]"`
}

// Source is where a value comes from.
type Source struct {
	Env     string      `yaml:"env" doc:"Name of an environment variable."`
	File    config.Path `yaml:"file" doc:"File of the build host with a secret. A line break at its end is not part of it."`
	Command []string    `yaml:"command" doc:"Program of the build host, and its arguments, that prints a secret: a list, no shell. It runs as the user who called sudo, with PATH, HOME, USER, LANG and what ssh-agent, gpg-agent and the session bus need in its environment. Takes --allow-host-commands."`
}

// named tells whether there is a source.
func (s Source) named() bool { return s.Env != "" || s.File.Text != "" || len(s.Command) > 0 }

// variable is a variable with its value.
type variable struct {
	Variable
	name     string
	at       *config.At // of its declaration
	fallback *config.Node
	given    *string // text that --set-file has read for a secret
	value    config.Value
	has      bool
	settled  bool
	broken   bool // something is wrong with it, which is reported
}

// kind is the type of its value in expressions.
func (v *variable) kind() string {
	switch v.Type {
	case "int", "bool", "list":
		return string(v.Type)
	}
	return "text"
}

// declaration is what one file says of a variable.
type declaration struct {
	Variable
	name string
	at   *config.At
}

var variableName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

// declarations of a file, in its order.
type declarations []declaration

// TakesEmpty tells that an empty mapping may stand there.
func (declarations) TakesEmpty(k config.Kind) bool { return k == config.Map }

// UnmarshalConfig reads the declarations of a file.
func (d *declarations) UnmarshalConfig(n *config.Node) {
	if n.Kind() != config.Map {
		n.At().Errorf("variables: expected a mapping of names and declarations").Hint("write \"variables: {role: {type: string, default: web}}\"")
		return
	}
	for _, p := range n.Pairs() {
		reserved := append([]string{"true", "false", "profile", "env", "base", "matrix"}, facts...)
		if !variableName.MatchString(p.Key) || slices.Contains(reserved, p.Key) {
			p.KeyAt.Errorf("%q cannot be the name of a variable", p.Key).Hint("use letters, digits, \"_\" and \"-\"; not %s", strings.Join(reserved, ", "))
			continue
		}
		one := declaration{name: p.Key, at: p.KeyAt}
		p.Value.Decode(&one.Variable)
		for _, u := range p.Value.Unset() {
			if u.Key == "default" && u.Value != nil { // an empty list is a value here
				one.Default.Node = u.Value
			}
		}
		*d = append(*d, one)
	}
	for _, p := range n.Unset() {
		p.KeyAt.Errorf("the variable %s has no type", p.Key).Hint("write \"%s: {type: string}\"", p.Key)
	}
}

// declare joins what several files say of variables, the later ones last.
func (c *composer) declare(lists ...declarations) map[string]*variable {
	all := map[string]*variable{}
	for _, d := range slices.Concat(lists...) {
		v := all[d.name]
		if v == nil {
			v = &variable{name: d.name}
			all[d.name] = v
		}
		if c.oversteps(d) {
			v.broken = true
			d.From, d.Public, d.AllowShort, d.MayBeInImage = Source{}, false, false, nil
		}
		v.join(d)
	}
	return all
}

// oversteps tells, and reports, that a file says of a variable what only the file on the command line may. It looks at
// each declaration, before files are joined: what is joined no longer knows which file said what.
func (c *composer) oversteps(d declaration) bool {
	if d.at.File() == c.top || !d.From.named() && !d.Public && !d.AllowShort && len(d.MayBeInImage) == 0 {
		return false
	}
	d.at.Errorf("only the file that the command line names may read the environment, and say of secrets where they come from and may go").
		Hint("write from, public, allowShort and mayBeInImage of %s there", d.name)
	return true
}

// join adds what a later file says.
func (v *variable) join(d declaration) {
	if v.Type != "" && d.Type != "" && v.Type != d.Type {
		d.at.Errorf("the variable %s is of type %s here, and of type %s in %s, line %d", d.name, d.Type, v.Type, filepath.Base(v.at.File()), v.at.Line()).
			Hint("give both one type, or one of them another name")
		v.broken = true
		return
	}
	if d.Type != "" || v.at == nil {
		v.at = d.at
	}
	later(&v.Type, d.Type)
	later(&v.Of, d.Of)
	later(&v.Doc, d.Doc)
	later(&v.Pattern, d.Pattern)
	later(&v.Min, d.Min)
	later(&v.Max, d.Max)
	if d.From.named() {
		v.From = d.From
	}
	later(&v.Public, d.Public)
	later(&v.AllowShort, d.AllowShort)
	if d.MayBeInImage != nil {
		v.MayBeInImage = d.MayBeInImage
	}
	if d.Default.Node != nil {
		v.fallback = d.Default.Node
	}
	if d.Values != nil {
		v.Values = d.Values
	}
}

func later[T comparable](into *T, value T) {
	var none T
	if value != none {
		*into = value
	}
}

// settle checks a declaration and finds the value.
func (c *composer) settle(v *variable) {
	if v.settled {
		return
	}
	v.settled = true
	if v.broken || !v.sound() {
		v.broken = true
		return
	}
	if v.Type == "secret" {
		c.settleSecret(v)
		return
	}
	for _, s := range c.settings {
		if s.name == v.name {
			v.value, v.has = s.value(c, v)
			v.broken = v.broken || !v.has
			return
		}
	}
	if v.From.Env != "" {
		c.fromEnvironment(v)
		if v.has {
			return
		}
	}
	if v.fallback != nil {
		v.value, v.has = v.of(v.Type, v.fallback)
		v.broken = !v.has
	}
}

// sound checks what belongs together in a declaration.
func (v *variable) sound() bool {
	before := v.broken
	bad := func(format string, args ...any) { v.at.Errorf(format, args...); v.broken = true }
	is := func(t VariableType) bool { return v.Type == t || v.Type == "list" && v.Of == t }
	switch {
	case v.Type == "":
		bad("the variable %s has no type", v.name)
	case v.Type == "list" && slices.Contains([]VariableType{"list", "secret"}, v.Of):
		bad("the variable %s cannot be a list of type %s", v.name, v.Of)
	case is("enum") && len(v.Values) == 0:
		bad("the variable %s is an enum without values", v.name)
	case !is("enum") && len(v.Values) > 0:
		bad("the variable %s has values, which are for an enum", v.name)
	case !is("int") && (v.Min != nil || v.Max != nil):
		bad("the variable %s has min or max, which are for an int", v.name)
	case v.Pattern != "" && !is("string") && !(v.Type == "list" && v.Of == ""):
		bad("the variable %s has a pattern, which is for a string", v.name)
	case v.Type == "secret":
		v.soundSecret(bad)
	case v.From.File.Text != "" || len(v.From.Command) > 0 || v.AllowShort || len(v.MayBeInImage) > 0:
		bad("the variable %s has from, allowShort or mayBeInImage as a secret has, and is none", v.name)
	}
	if _, err := regexp.Compile(v.Pattern); err != nil {
		bad("the pattern of %s is not a regular expression: %v", v.name, err)
	}
	return v.broken == before
}

// of reads a value of a type from a document.
func (v *variable) of(t VariableType, n *config.Node) (config.Value, bool) {
	if t == "list" {
		if n.Kind() != config.List {
			n.At().Errorf("the variable %s wants a list", v.name)
			return config.Value{}, false
		}
		list := config.Value{Kind: config.ListValue}
		good := true
		for _, item := range n.Items() {
			one, ok := v.of(v.itemType(), item)
			list.List, good = append(list.List, one), good && ok
		}
		return list, good
	}
	if n.Kind() != config.Text {
		n.At().Errorf("the variable %s wants a single value of type %s", v.name, t)
		return config.Value{}, false
	}
	value, err := v.parse(t, n.Text(), n.At().Dir())
	if err != nil {
		n.At().Errorf("%v", err)
	}
	return value, err == nil
}

func (v *variable) itemType() VariableType {
	if v.Of == "" {
		return "string"
	}
	return v.Of
}

// parse reads a value of a type from a text. dir is what a path is relative to.
func (v *variable) parse(t VariableType, s, dir string) (config.Value, error) {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%q is no value of %s: %s", s, v.name, fmt.Sprintf(format, args...))
	}
	switch t {
	case "bool":
		if s != "true" && s != "false" {
			return config.Value{}, wrong("it is true or false")
		}
		return config.Value{Kind: config.BoolValue, Bool: s == "true"}, nil
	case "int":
		n, err := strconv.ParseInt(s, 10, 64)
		switch {
		case err != nil:
			return config.Value{}, wrong("it is a whole number")
		case v.Min != nil && n < int64(*v.Min), v.Max != nil && n > int64(*v.Max):
			return config.Value{}, wrong("it is out of range")
		}
		return config.Value{Kind: config.IntValue, Int: n}, nil
	case "list":
		return v.parseList(s, dir)
	case "size":
		if !(config.Size(0)).Describe().Fits(s) {
			return config.Value{}, wrong("it is a whole number and K, M, G or T")
		}
	case "enum":
		if !slices.Contains(v.Values, s) {
			return config.Value{}, wrong("%s", config.DidYouMean(s, v.Values, "it is one of "+strings.Join(v.Values, ", ")))
		}
	case "path":
		if s == "" {
			return config.Value{}, wrong("it is a path")
		}
		if !filepath.IsAbs(s) {
			s = filepath.Join(dir, s)
		}
	case "string":
		if v.Pattern != "" && !regexp.MustCompile("^(?:"+v.Pattern+")$").MatchString(s) {
			return config.Value{}, wrong("it must match %s", v.Pattern)
		}
	}
	return config.Value{Text: s}, nil
}

// parseList reads a list as the command line has it: with commas, or as YAML in brackets.
func (v *variable) parseList(s, dir string) (list config.Value, err error) {
	list.Kind = config.ListValue
	if strings.HasPrefix(s, "[") {
		doc, report := config.Parse("--set "+v.name, []byte(s))
		if !report.Failed() {
			list, _ = v.of("list", doc.Root())
		}
		return list, report.Err()
	}
	for item := range strings.SplitSeq(s, ",") {
		if s == "" {
			break
		}
		one, err := v.parse(v.itemType(), item, dir)
		if err != nil {
			return list, err
		}
		list.List = append(list.List, one)
	}
	return list, nil
}

// fromEnvironment takes the value from the environment.
func (c *composer) fromEnvironment(v *variable) {
	switch text, there := c.files.getenv(v.From.Env); {
	case v.Type != "secret" && !v.Public:
		v.at.Errorf("what the environment holds may be a secret").Hint("add \"public: true\", or use the type secret")
		v.broken = true
	case there:
		value, err := v.parse(v.Type, text, c.files.Dir)
		if err != nil {
			v.at.Errorf("the environment variable %s: %v", v.From.Env, err)
			v.broken = true
			return
		}
		v.value, v.has = value, true
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
