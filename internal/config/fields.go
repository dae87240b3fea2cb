package config

import (
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Field describes a key that a struct type knows.
type Field struct {
	Key      string
	Index    []int
	Required bool
	Secret   string // of the tag secret
	Doc      string
	Default  string
	Example  string
	Type     reflect.Type
	Min, Max int64 // of a number; both 0 for any
}

// Fields lists the keys of a struct type, those of embedded structs among them.
func Fields(t reflect.Type) []Field {
	if known, ok := fieldsOf.Load(t); ok {
		return known.([]Field)
	}
	var list []Field
	for _, f := range reflect.VisibleFields(t) {
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "" || key == "-" || !f.IsExported() {
			continue
		}
		list = append(list, Field{
			Key: key, Index: f.Index, Required: f.Tag.Get("required") == "true", Secret: f.Tag.Get("secret"), Doc: f.Tag.Get("doc"),
			Default: f.Tag.Get("default"), Example: f.Tag.Get("example"), Type: f.Type,
			Min: tagNumber(f.Tag, "min"), Max: tagNumber(f.Tag, "max"),
		})
	}
	fieldsOf.Store(t, list)
	return list
}

func keysOf(fields []Field) (keys []string) {
	for _, f := range fields {
		keys = append(keys, f.Key)
	}
	return keys
}

func (d *decoder) fields(at *At, n *yaml.Node, v reflect.Value) {
	fields := Fields(v.Type())
	known := map[string]Field{}
	names := keysOf(fields)
	for _, f := range fields {
		known[f.Key] = f
	}
	keys := d.pairs(at, n, v.Type())
	for _, k := range keys {
		switch f, ok := known[k]; {
		case !ok:
			d.unknown(at, k, names)
			at.sift().key(k, at.Field(k).node, v.Type())
		case f.Required || !emptyEnum(at.Field(k), f.Type):
			before := at.doc.report.found
			if d.value(at.Field(k), v.FieldByIndex(f.Index)); at.doc.report.found == before {
				f.bounds(at.Field(k), v.FieldByIndex(f.Index))
			}
		}
	}
	hideSecrets(at, fields, v)
	unset := d.unset(at, known, names, keys)
	for _, f := range fields {
		if f.Required && !at.doc.opts.Part && !slices.Contains(keys, f.Key) && !slices.Contains(unset, f.Key) && !misspelled(f.Key, keys, names) {
			at.Errorf("%s is missing", f.Key).Hint("add \"%s:\" here", f.Key)
		}
	}
}

// unset reports, of the keys without a value, those that need one, are unknown or here twice.
func (d *decoder) unset(at *At, known map[string]Field, names, keys []string) (unset []string) {
	for _, k := range at.unsetKeys() {
		place := &At{doc: at.doc, node: k, path: join(at.path, k.Value), parent: at}
		_, unsupported := at.doc.opts.Unsupported[generic(place.path)]
		switch f, ok := known[k.Value]; {
		case slices.Contains(keys, k.Value), slices.Contains(unset, k.Value):
			place.Errorf("%q is here twice", k.Value).Hint("merge both into one")
		case !ok && !unsupported:
			d.unknown(at, k.Value, names)
		case ok && !d.noWrongEmpty(at, k, f.Type):
		case ok && f.Required && !at.doc.opts.Part:
			place.Errorf("%s has no value", k.Value).Hint("write one behind the \":\"")
		}
		unset = append(unset, k.Value)
	}
	return unset
}

// noWrongEmpty reports an empty list or section in the place of something else.
func (d *decoder) noWrongEmpty(at *At, key *yaml.Node, t reflect.Type) bool {
	value := at.doc.valueOf(resolve(at.node), key)
	if takesEmpty(t, value) {
		return true
	}
	what := map[yaml.Kind]string{yaml.SequenceNode: "list", yaml.MappingNode: "section"}[value.Kind]
	(&At{doc: at.doc, node: value, path: join(at.path, key.Value), parent: at}).Errorf("%s: an empty %s cannot stand here", key.Value, what)
	return false
}

// takesEmpty tells whether a field may be written as this value, which is null or empty.
func takesEmpty(t reflect.Type, v *yaml.Node) bool {
	if kindOf(v) == Null {
		return true
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if own, ok := reflect.Zero(t).Interface().(interface{ TakesEmpty(k Kind) bool }); ok {
		return own.TakesEmpty(kindOf(v))
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[Scalar]()) {
		return false
	}
	if t.Kind() == reflect.Slice {
		return v.Kind == yaml.SequenceNode
	}
	return v.Kind == yaml.MappingNode && (t.Kind() == reflect.Struct || t.Kind() == reflect.Map)
}

// emptyEnum tells whether a choice is left open by an empty text.
func emptyEnum(at *At, t reflect.Type) bool {
	n := resolve(at.node)
	return kindOf(n) == Text && n.Value == "" && t.Implements(reflect.TypeFor[Enum]())
}

// misspelled tells whether an unknown key was reported as meaning this one.
func misspelled(key string, keys, names []string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return !slices.Contains(names, k) && nearest(k, names) == key })
}

func (d *decoder) unknown(at *At, key string, names []string) {
	place := at.Key(key)
	if why, ok := at.doc.opts.Unsupported[generic(join(at.path, key))]; ok {
		place.Errorf("%s is not supported yet", key).Hint("%s", why)
		return
	}
	e := place.Errorf("unknown key %q", key)
	if at.doc.report.full() {
		return
	}
	if at.path == "" {
		names = append(names, at.doc.opts.Also...)
	}
	if near := nearest(key, names); near != "" {
		e.Hint("did you mean %q?", near)
		return
	}
	if elsewhere := at.doc.elsewhere(key, at.path); elsewhere != "" {
		e.Hint("did you mean %s?", elsewhere)
		return
	}
	e.Hint("known here: %s", strings.Join(names, ", "))
}

// generic is a path without list indexes.
func generic(path string) string {
	var b strings.Builder
	skip := false
	for _, c := range path {
		switch c {
		case '[':
			skip = true
		case ']':
			skip = false
		default:
			if !skip {
				b.WriteRune(c)
			}
		}
	}
	return b.String()
}
