package config

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"imagecustomizer/internal/printable"
)

// Rendering says how a document is written.
type Rendering struct {
	Dir     string       // where relative paths are to begin
	Type    reflect.Type // of the config, which tells what is a path
	Origins bool         // each value has a comment that says where it stands
	Shown   string       // directory from which files are named in these
	Escape  bool         // a text that looks like an expression is to be taken as a text
	Record  bool         // it is the same wherever it lies, and nothing that may be a secret is written
	Secrets bool         // secrets are written too; without, nothing is in their place
}

// Origin is where a value of a document stands.
type Origin struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// YAML writes the document without aliases and merge keys, as one file that says the same.
func (d *Document) YAML(r Rendering) ([]byte, error) {
	w := renderer{Rendering: r}
	root, ok := w.node(d.At(), r.Type, 0)
	if !ok {
		return []byte("{}\n"), nil
	}
	return w.dump(root)
}

// Piece is a document that is part of another, under a condition or not.
type Piece struct {
	Doc  *Document
	When string // expression; empty for none
}

// Pieces writes one file that includes documents, one after the other.
func Pieces(pieces []Piece, r Rendering) ([]byte, error) {
	w := renderer{Rendering: r}
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, p := range pieces {
		part, ok := w.node(p.Doc.At(), r.Type, 0)
		if !ok {
			continue
		}
		one := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if p.When != "" {
			one.Content = append(one.Content, textNode(When), textNode(p.When))
		}
		one.Content = append(one.Content, textNode("config"), part)
		list.Content = append(list.Content, one)
	}
	return w.dump(&yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{textNode("include"), list}})
}

func textNode(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// dump is a tree as a text.
func (w *renderer) dump(root *yaml.Node) ([]byte, error) {
	if w.nodes > maxTogether || w.text > MaxText {
		return nil, fmt.Errorf("the config comes to more than %d values, or %d MiB of text", maxTogether, MaxText>>20)
	}
	var b bytes.Buffer
	dumper, err := yaml.NewDumper(&b, yaml.WithV4Defaults(), yaml.WithIndent(2))
	if err != nil {
		return nil, err
	}
	if err := dumper.Dump(root); err != nil {
		return nil, err
	}
	return b.Bytes(), dumper.Close()
}

// Fingerprint is a text that says what the document does, but for what is secret or may be, so that it can be hashed and
// kept. t is what it is decoded into.
func (d *Document) Fingerprint(t reflect.Type) ([]byte, error) {
	return d.YAML(Rendering{Type: t, Record: true})
}

// HasSecrets tells whether a secret was found in what was decoded of the document, or of others in its report.
func (d *Document) HasSecrets() bool { return len(d.report.hidden) > 0 }

// Setting is a value of a document, as a text, and where it stands.
type Setting struct {
	Text   string // as it may be shown
	value  string // for comparing: a path is absolute
	hidden bool
	Origin
}

// Is tells whether two settings have one value, hidden or not.
func (s Setting) Is(other Setting) bool { return s.value == other.value && s.hidden == other.hidden }

// Setting is a text that stands for what is at this place.
func (a *At) Setting(text string) Setting {
	line, column, _ := a.place()
	return Setting{Text: text, value: text, Origin: Origin{a.File(), line, column}}
}

// Values are all values of a document, by their paths. What must not be shown is not. t is what it is decoded into.
func (d *Document) Values(t reflect.Type) map[string]Setting {
	all := map[string]Setting{}
	hidden := d.report.mask()
	w := renderer{}
	w.origins(d.At(), t, "", 0, func(_ string, at *At, t reflect.Type, o Origin) {
		n := resolve(at.node)
		s := Setting{Text: strconv.Quote(hidden.text(n.Value)), value: n.Value, hidden: at.isHidden(n), Origin: o}
		if s.hidden {
			s.Text = "(hidden)"
		}
		if w.isPath(t) && !filepath.IsAbs(s.value) {
			s.value = filepath.Join(at.Dir(), s.value)
		}
		all[at.path] = s
	})
	return all
}

// Origins are the places of all values, by their JSON pointers.
func (d *Document) Origins(shown string) map[string]Origin {
	all := map[string]Origin{}
	w := renderer{Rendering: Rendering{Shown: shown}}
	w.origins(d.At(), nil, "", 0, func(pointer string, _ *At, _ reflect.Type, o Origin) { all[pointer] = o })
	return all
}

func (r *renderer) origins(at *At, t reflect.Type, pointer string, depth int, each func(pointer string, at *At, t reflect.Type, o Origin)) {
	n := resolve(at.node)
	if r.nodes++; n == nil || depth > maxDepth || r.nodes > maxTogether {
		return
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			r.origins(at.Field(name), fieldType(t, name), pointer+"/"+escape.Replace(name), depth+1, each)
		}
	case yaml.SequenceNode:
		for i := range n.Content {
			r.origins(at.Index(i), itemType(t), fmt.Sprintf("%s/%d", pointer, i), depth+1, each)
		}
	default:
		line, column, _ := at.place()
		each(pointer, at, t, Origin{r.name(at.File()), line, column})
	}
}

type renderer struct {
	Rendering
	nodes int
	text  int // bytes
}

// node is a new node that says what the node at a place does; t is what it is decoded into, where that is known.
func (r *renderer) node(at *At, t reflect.Type, depth int) (*yaml.Node, bool) {
	n := resolve(at.node)
	if r.nodes++; n == nil || depth > maxDepth || r.nodes > maxTogether || r.text > MaxText {
		return nil, false
	}
	r.text += len(n.Value)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag}
	switch n.Kind {
	case yaml.MappingNode:
		c.Tag = kept(n.Tag, "!!map")
		for i := 0; i+1 < len(n.Content); i += 2 {
			r.pair(c, at, n.Content[i], t, depth)
		}
	case yaml.SequenceNode:
		c.Tag = kept(n.Tag, "!!seq")
		for i := range n.Content {
			if item, ok := r.node(at.Index(i), itemType(t), depth+1); ok {
				c.Content = append(c.Content, item)
			}
		}
	default:
		r.scalar(c, n, at, t)
	}
	return c, true
}

// kept is a tag that says how a list or mapping is merged, or else the plain one.
func kept(tag, plain string) string {
	if tag == tagReplace {
		return tag
	}
	return plain
}

func (r *renderer) pair(c *yaml.Node, at *At, key *yaml.Node, t reflect.Type, depth int) {
	if r.Record && fieldSecret(t, key.Value) != "" {
		if names := at.Field(key.Value).Secrets(); len(names) > 0 {
			c.Content = append(c.Content, textNode(key.Value), textNode("the secrets "+strings.Join(names, ", ")))
		}
		return
	}
	if v, ok := r.node(at.Field(key.Value), fieldType(t, key.Value), depth+1); ok {
		c.Content = append(c.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key.Value}, v)
	}
}

func (r *renderer) scalar(c, n *yaml.Node, at *At, t reflect.Type) {
	if at.isHidden(n) && !r.Secrets {
		line, column, _ := at.place()
		c.Tag, c.Style, c.LineComment = "!!str", yaml.DoubleQuotedStyle, fmt.Sprintf("# not shown: the secret in %s:%d:%d", r.name(at.File()), line, column)
		return
	}
	c.Value = n.Value
	if r.isPath(t) && !r.Record {
		c.Value = r.path(n.Value, at)
	}
	if r.Escape && !at.Pending() {
		c.Value = strings.ReplaceAll(c.Value, "${{", "$${{")
	}
	if strings.Contains(c.Value, "\n") {
		c.Style = yaml.LiteralStyle
	}
	if c.Tag == "!!str" && (plainMeansOther(c.Value) || printable.Text(c.Value) != c.Value) { // which is escaped where it is printed
		c.Style = yaml.DoubleQuotedStyle
	}
	if r.Origins {
		line, column, _ := at.place()
		c.LineComment = fmt.Sprintf("# %s:%d:%d", r.name(at.File()), line, column)
	}
}

// plainMeansOther tells whether a reader of YAML 1.1 or 1.2 would take the text for something else.
func plainMeansOther(s string) bool {
	switch strings.ToLower(s) {
	case "", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return true
	}
	_, isNumber := number(s)
	return isNumber
}

func (r *renderer) isPath(t reflect.Type) bool {
	path := reflect.TypeFor[Path]()
	if t == nil || t == path {
		return t != nil
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	f, ok := t.FieldByName("Path")
	return ok && f.Anonymous && f.Type == path
}

// path is a path that leads from the new place to the same file.
func (r *renderer) path(text string, at *At) string {
	if filepath.IsAbs(text) {
		return text
	}
	full := filepath.Join(at.Dir(), text)
	if rel, err := filepath.Rel(r.Dir, full); err == nil {
		return rel
	}
	return full
}

// name is how a file is called.
func (r *renderer) name(file string) string {
	if rel, err := filepath.Rel(r.Shown, file); err == nil && r.Shown != "" && filepath.IsAbs(file) {
		return rel
	}
	return file
}

func itemType(t reflect.Type) reflect.Type {
	if t != nil && t.Kind() == reflect.Slice {
		return t.Elem()
	}
	return nil
}

// fieldSecret is what the schema says of secrets in a key's value.
func fieldSecret(t reflect.Type, key string) string {
	if t == nil || t.Kind() != reflect.Struct {
		return ""
	}
	for _, f := range Fields(t) {
		if f.Key == key {
			return f.Secret
		}
	}
	return ""
}

// fieldType is the type of a key's value, where it is known.
func fieldType(t reflect.Type, key string) reflect.Type {
	switch {
	case t == nil:
		return nil
	case t.Kind() == reflect.Map:
		return t.Elem()
	case t.Kind() == reflect.Struct:
		for _, f := range Fields(t) {
			if f.Key == key {
				return f.Type
			}
		}
	}
	return nil
}
