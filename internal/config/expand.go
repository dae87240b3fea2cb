package config

import (
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// ValueKind is what a value is.
type ValueKind int

// Kinds of values.
const (
	TextValue ValueKind = iota
	IntValue
	BoolValue
	ListValue
	NoValue // it is not there
)

// Value is what stands in a document in the place of an expression.
type Value struct {
	Kind ValueKind
	Text string // of a list: nothing
	Int  int64
	Bool bool
	List []Value

	Secrets []string // names of secret variables that the text holds
	Pending bool     // it names them only: what they hold is not known
}

// String is the value within a text.
func (v Value) String() string {
	switch v.Kind {
	case IntValue:
		return strconv.FormatInt(v.Int, 10)
	case BoolValue:
		return strconv.FormatBool(v.Bool)
	}
	return v.Text
}

// valueSize is what a value takes besides its text, in bytes, about.
const valueSize = 64

// Size is what the value takes in a document, in bytes, about.
func (v Value) Size() int {
	size := valueSize + len(v.Text)
	for _, item := range v.List {
		size += item.Size()
	}
	return size
}

// Expander says what becomes of the texts of a document, and of the items of its lists.
type Expander interface {
	// Text returns what stands in the place of a text, and whether that is something else.
	Text(text string, at *At) (v Value, changed bool)
	// Keep tells whether a list item with this condition stays, and under which condition, where it has one still.
	Keep(when *Node) (stays bool, left string)
}

// When is the key of a list item that is there under a condition.
const When = "when"

// Expand is the document with everything expanded. Places in it are those of the document.
func (d *Document) Expand(x Expander) *Document {
	out := *d
	out.written, out.secrets = map[*yaml.Node]*yaml.Node{}, map[*yaml.Node]secrecy{}
	e := expansion{x: x, from: d, out: &out, done: map[*yaml.Node]*yaml.Node{}}
	out.root = e.node(d.At(), 0)
	return &out
}

type expansion struct {
	x         Expander
	from, out *Document
	done      map[*yaml.Node]*yaml.Node
}

// node expands the node at a place. Nodes are shared: what stands nowhere else stays as it is.
func (e *expansion) node(at *At, depth int) *yaml.Node {
	n := at.node
	if n == nil || depth > 2*maxDepth {
		return n
	}
	if have, ok := e.done[n]; ok {
		return have
	}
	e.done[n] = n // where it holds itself
	switch n.Kind {
	case yaml.AliasNode:
		e.done[n] = e.alias(at, depth)
	case yaml.ScalarNode:
		e.done[n] = e.scalar(at)
	case yaml.SequenceNode:
		e.done[n] = e.list(at, depth)
	case yaml.MappingNode:
		e.done[n] = e.mapping(at, depth)
	}
	return e.done[n]
}

func (e *expansion) alias(at *At, depth int) *yaml.Node {
	to := e.node(&At{doc: at.doc, node: at.node.Alias, key: at.key, path: at.path, parent: at.parent}, depth+1)
	switch to {
	case nil:
		return nil
	case at.node.Alias:
		return at.node
	}
	c := e.like(at.node)
	c.Alias = to
	return c
}

// like is a new node in the place of another.
func (e *expansion) like(n *yaml.Node) *yaml.Node {
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Style: n.Style, Line: n.Line, Column: n.Column}
	e.out.written[c] = n
	if unset := e.from.unset[n]; unset != nil {
		e.out.unset[c] = unset
	}
	return c
}

func (e *expansion) scalar(at *At) *yaml.Node {
	if kindOf(at.node) == Null {
		return at.node
	}
	v, changed := e.x.Text(at.node.Value, at)
	switch {
	case !changed:
		return at.node
	case v.Kind == NoValue:
		return nil
	}
	return e.value(v, at.node)
}

func (e *expansion) value(v Value, n *yaml.Node) *yaml.Node {
	c := e.like(n)
	c.Style, c.Value = 0, v.String()
	if len(v.Secrets) > 0 {
		e.out.secrets[c] = secrecy{v.Secrets, v.Pending}
	}
	switch v.Kind {
	case IntValue:
		c.Tag = "!!int"
	case BoolValue:
		c.Tag = "!!bool"
	case ListValue:
		c.Kind, c.Tag, c.Value = yaml.SequenceNode, "!!seq", ""
		for _, item := range v.List {
			c.Content = append(c.Content, e.value(item, n))
		}
	default:
		c.Tag = "!!str"
		if n.Tag != "" && n.Tag[:2] != "!!" { // such as one that takes the text out of a list
			c.Tag = n.Tag
		}
	}
	return c
}

func (e *expansion) list(at *At, depth int) *yaml.Node {
	c := e.like(at.node)
	changed := false
	for i, old := range at.node.Content {
		item, here := e.item(at.Index(i), depth)
		switch {
		case !here || item == nil:
		case resolve(old).Kind == yaml.ScalarNode && item.Kind == yaml.SequenceNode: // a list in the place of one of its items
			c.Content = append(c.Content, item.Content...)
		default:
			c.Content = append(c.Content, item)
		}
		changed = changed || !here || item != old
	}
	if !changed {
		return at.node
	}
	return c
}

// item expands an item of a list, and tells whether it stays.
func (e *expansion) item(at *At, depth int) (n *yaml.Node, here bool) {
	if m := resolve(at.node); m == nil || m.Kind != yaml.MappingNode || !at.Has(When) {
		return e.node(at, depth+1), true
	}
	stays, left := e.x.Keep(&Node{at.Field(When)})
	if !stays {
		return nil, false
	}
	bare := *e.from
	bare.root = at.node
	m := bare.Without(When).root
	e.out.written[m] = resolve(at.node)
	n = e.node(&At{doc: at.doc, node: m, path: at.path, parent: at.parent}, depth+1)
	if left != "" && n != nil {
		key, value := at.find(When)
		said := e.like(resolve(value))
		said.Kind, said.Tag, said.Value, said.Style, said.Content = yaml.ScalarNode, "!!str", left, 0, nil
		bare := e.like(n)
		bare.Content = append(slices.Clone(n.Content), key, said)
		n = bare
	}
	return n, true
}

// mapping expands the values of a mapping. What then is an empty list is nothing.
func (e *expansion) mapping(at *At, depth int) *yaml.Node {
	c := e.like(at.node)
	changed := false
	for i := 0; i+1 < len(at.node.Content); i += 2 {
		k, old := at.node.Content[i], at.node.Content[i+1]
		place := &At{doc: at.doc, node: old, key: k, path: join(at.path, k.Value), parent: at}
		if _, expression := e.x.Text(k.Value, place); expression {
			at.Key(k.Value).Errorf("a key cannot be an expression")
		}
		v := e.node(place, depth+1)
		changed = changed || v != old
		if v == nil || v != old && v.Kind == yaml.SequenceNode && len(v.Content) == 0 {
			continue
		}
		c.Content = append(c.Content, k, v)
	}
	if !changed {
		return at.node
	}
	return c
}
