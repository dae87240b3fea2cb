package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"
)

// Validator checks a decoded value. Every value present in the document is asked, outermost first.
type Validator interface{ Validate(at *At) }

// Scalar decodes itself from the text of one scalar, reporting what is wrong with it.
type Scalar interface{ UnmarshalScalar(text string, at *At) }

// Enum is a string type with a fixed set of values.
type Enum interface{ Values() []string }

// Unmarshaler decodes itself from a node of any kind.
type Unmarshaler interface{ UnmarshalConfig(n *Node) }

// Decode decodes the document strictly into what into points to and validates it. All problems go
// to the document's report.
func (d *Document) Decode(into any, o Options) {
	d.opts, d.schema = o, reflect.TypeOf(into).Elem()
	if d.root == nil {
		return
	}
	dec := decoder{}
	dec.value(d.At(), reflect.ValueOf(into).Elem())
	dec.validate()
}

// decoder decodes one tree and remembers what has to be validated.
type decoder struct {
	checks  []func()
	aliases int
	depth   int
	values  int
	text    int // bytes
}

// Bounds on documents made to exhaust the reader.
const (
	maxAliases = 1000
	maxDepth   = 64
	maxValues  = 300_000

	// MaxText bounds the texts of a config in all, aliases and expressions carried out, in bytes.
	MaxText = 16 << 20
)

func (d *decoder) validate() {
	for _, c := range d.checks {
		c()
	}
}

// value decodes the node at a place into v.
func (d *decoder) value(at *At, v reflect.Value) {
	if at.node != nil && at.node.Kind == yaml.AliasNode {
		if d.aliases++; d.aliases > maxAliases {
			at.Errorf("too many aliases")
			return
		}
	}
	if d.depth++; d.depth > maxDepth {
		at.Errorf("nested too deeply")
		d.depth--
		return
	}
	defer func() { d.depth-- }()
	n := resolve(at.node)
	if at.doc.opts.Part && n != nil && n.Tag == tagRemove {
		return
	}
	if v.Kind() == reflect.Pointer {
		if kindOf(n) == Null {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	decoded := false
	_, formed := v.Addr().Interface().(Formed)
	if c, ok := v.Addr().Interface().(Validator); ok && kindOf(n) != Null && (formed || !at.FormOnly()) {
		d.checks = append(d.checks, func() {
			if decoded { // what could not be decoded has its problem already
				c.Validate(at)
			}
		})
	}
	decoded = d.into(at, n, v)
}

// into decodes by the kind of type and tells whether the node was of the right kind for it.
func (d *decoder) into(at *At, n *yaml.Node, v reflect.Value) bool {
	if !d.spend(at, n) {
		return false
	}
	switch x := v.Addr().Interface().(type) {
	case Unmarshaler:
		if kindOf(n) == Null {
			return d.want(at, Text, "a value")
		}
		x.UnmarshalConfig(&Node{at})
		return true
	case Scalar:
		ok := d.want(at, Text, "a value")
		if ok {
			at.clear(n)
			x.UnmarshalScalar(n.Value, at)
		}
		return ok
	}
	switch v.Kind() {
	case reflect.Struct:
		return d.compound(at, n, v, Map, "a mapping of keys and values", d.fields)
	case reflect.Slice:
		return d.compound(at, n, v, List, "a list (each item begins with \"- \")", d.items)
	case reflect.Map:
		return d.compound(at, n, v, Map, "a mapping of keys and values", d.entries)
	default:
		return d.scalar(at, n, v)
	}
}

// spend tells whether a value more may be decoded.
func (d *decoder) spend(at *At, n *yaml.Node) bool {
	before := d.values > maxValues || d.text > MaxText
	d.values++
	if n != nil {
		d.text += len(n.Value)
	}
	over := d.values > maxValues || d.text > MaxText
	if over && !before {
		at.Errorf("this is too much: the config comes to more than %d MiB of text, or %d values", MaxText>>20, maxValues)
	}
	return !over
}

// compound decodes a node of many values; nothing in its place is as good as its absence.
func (d *decoder) compound(at *At, n *yaml.Node, v reflect.Value, k Kind, what string, decode func(*At, *yaml.Node, reflect.Value)) bool {
	if kindOf(n) == Null {
		return false
	}
	if !d.want(at, k, what) {
		at.sift().value(n, v.Type())
		return false
	}
	decode(at, n, v)
	return true
}

// want reports a node of another kind than expected.
func (d *decoder) want(at *At, k Kind, what string) bool {
	got := kindOf(resolve(at.node))
	if got == k {
		return true
	}
	names := map[Kind]string{Null: "nothing", Text: "a single value", List: "a list", Map: "a mapping"}
	at.Errorf("%s: expected %s, found %s", last(at.path), what, names[got])
	return false
}

func last(path string) string {
	if i := strings.LastIndex(path, "."); i >= 0 {
		path = path[i+1:]
	}
	if path == "" {
		return "the file"
	}
	return path
}

func (d *decoder) items(at *At, n *yaml.Node, v reflect.Value) {
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i := range n.Content {
		item := at.Index(i)
		if kindOf(resolve(item.node)) == Null && v.Type().Elem().Kind() != reflect.Pointer {
			item.Errorf("this list item is empty").Hint("remove it, or write its value behind the \"-\"")
			continue
		}
		d.value(item, v.Index(i))
	}
	if !at.doc.opts.FormOnly {
		d.checks = append(d.checks, func() { doubles(at, n, v) })
	}
}

func (d *decoder) entries(at *At, n *yaml.Node, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, f := range d.pairs(at, n, nil) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(at.Field(f), e)
		v.SetMapIndex(reflect.ValueOf(f).Convert(v.Type().Key()), e)
	}
	for _, k := range at.unsetKeys() {
		d.noWrongEmpty(at, k, v.Type().Elem())
	}
}

// pairs lists the keys of a mapping and reports those that are there twice. It is of a type of section, or of none.
func (d *decoder) pairs(at *At, n *yaml.Node, section reflect.Type) []string {
	var keys []string
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		switch {
		case k.Kind != yaml.ScalarNode:
			(&At{doc: at.doc, node: k, path: at.path, parent: at}).Errorf("a key must be a plain word")
		case seen[k.Value]:
			(&At{doc: at.doc, node: k, path: join(at.path, k.Value), parent: at}).Errorf("%q is here twice", k.Value).Hint("merge both into one")
			if section != nil {
				at.sift().key(k.Value, n.Content[i+1], section)
			}
		default:
			seen[k.Value] = true
			keys = append(keys, k.Value)
		}
	}
	return keys
}

var fieldsOf sync.Map // of reflect.Type to []Field

// scalar decodes one plain value.
func (d *decoder) scalar(at *At, n *yaml.Node, v reflect.Value) bool {
	if !d.want(at, Text, "a single value") {
		return false
	}
	at.clear(n) // where it is a secret, its section hides it
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
		return d.enum(at, n.Value, v)
	case reflect.Bool:
		word := n.Value
		if n.Tag == "!!bool" {
			word = strings.ToLower(word)
		}
		v.SetBool(word == "true")
		if word != "true" && word != "false" {
			at.Errorf("%s: %q is neither true nor false", last(at.path), n.Value).Hint("write true or false")
			return false
		}
	case reflect.Int, reflect.Int64:
		i, ok := wholeNumber(n)
		if !ok {
			at.Errorf("%s: %q is not a whole number", last(at.path), n.Value)
			return false
		}
		v.SetInt(i)
	default:
		panic(fmt.Sprintf("config: type %s cannot be decoded", v.Type()))
	}
	return true
}

// enum reports a word that is none of the type's values, and tells whether it is one.
func (d *decoder) enum(at *At, text string, v reflect.Value) bool {
	e, ok := v.Addr().Interface().(Enum)
	if !ok || slices.Contains(e.Values(), text) {
		return true
	}
	entry := at.Errorf("%s: %q is not allowed", last(at.path), text)
	allowed := strings.TrimPrefix(strings.Join(e.Values(), ", "), ", ")
	if near := nearest(text, e.Values()); near != "" {
		entry.Hint("did you mean %q? allowed: %s", near, allowed)
		return false
	}
	entry.Hint("allowed: %s", allowed)
	return false
}
