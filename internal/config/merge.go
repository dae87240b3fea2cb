package config

import (
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v4"
)

// Rules say how what several files say becomes one. Mappings are merged by key, of single values the later one
// counts, and lists are appended to; the rest is named here, by paths without list indexes.
type Rules struct {
	Whole  []string // a later value replaces an earlier one as a whole
	Once   []string // only one file may have it
	Sticky []string // true where any file says true
	Union  []string // lists of words, in which each is once
	Filled bool     // an empty text does not count
	Layers bool     // the documents are carried out one after the other, and what one says twice another may say again

	// Identity names, of a list, the key by which items of two files are one and the same.
	Identity map[string]string
	// Tags has !replace discard what came before, and !remove take an item out of a list.
	Tags bool
}

const (
	tagReplace = "!replace"
	tagRemove  = "!remove"
)

// Merge is what several documents say together, the later ones last. They share one report.
func Merge(docs []*Document, rules Rules) *Document {
	out := &Document{
		file: docs[len(docs)-1].file, dir: docs[len(docs)-1].dir, report: docs[0].report,
		unset: map[*yaml.Node][]*yaml.Node{}, origins: map[*yaml.Node]*Document{}, written: map[*yaml.Node]*yaml.Node{},
		secrets: map[*yaml.Node]secrecy{},
	}
	m := merger{rules: rules, out: out}
	for i, d := range docs {
		if rules.Layers {
			d.layer = i
		}
		m.adopt(d, d.root, 0)
		out.root = m.value("", out.root, d.root)
	}
	return out
}

// merger makes one tree of several. The trees themselves stay as they are: they share nodes.
type merger struct {
	rules  Rules
	out    *Document
	merged int
}

// maxTogether bounds the nodes that are merged, of files made to exhaust the reader by mappings that alias
// each other.
const maxTogether = 100_000

// adopt notes for all nodes of a tree which file they are of.
func (m *merger) adopt(d *Document, n *yaml.Node, depth int) {
	if n == nil || m.out.origins[n] != nil || depth > 2*maxDepth {
		return
	}
	m.out.origins[n] = d
	if o := d.origins[n]; o != nil { // of a document that is made of several itself
		m.out.origins[n] = o
	}
	if w := d.written[n]; w != nil {
		m.out.written[n] = w
	}
	if s, holds := d.secrets[n]; holds {
		m.out.secrets[n] = s
	}
	if pairs := d.unset[n]; pairs != nil {
		m.out.unset[n] = pairs
		for _, c := range pairs {
			m.adopt(d, c, depth+1)
		}
	}
	m.adopt(d, n.Alias, depth+1)
	for _, c := range n.Content {
		m.adopt(d, c, depth+1)
	}
}

// at is the place of a node, for a report.
func (m *merger) at(path string, n *yaml.Node) *At { return &At{doc: m.out, node: n, path: path} }

// value is what an earlier and a later value are together.
func (m *merger) value(path string, old, later *yaml.Node) *yaml.Node {
	a, b := resolve(old), resolve(later)
	if m.rules.Tags && b != nil && b.Kind != yaml.ScalarNode && (kindOf(a) == Null || b.Tag == tagReplace || a.Kind != b.Kind) {
		a = &yaml.Node{Kind: b.Kind} // what b says of earlier items is looked at all the same
	}
	switch {
	case kindOf(b) == Null:
		return old
	case kindOf(a) == Null, slices.Contains(m.rules.Whole, path):
		return later
	case m.rules.Filled && b.Kind == yaml.ScalarNode && b.Value == "":
		return old
	case slices.Contains(m.rules.Sticky, path) && a.Value == "true":
		return old
	case a.Kind != b.Kind || a.Kind == yaml.ScalarNode:
		return later
	case a.Kind == yaml.SequenceNode:
		return m.list(path, a, b)
	}
	return m.mapping(path, a, b)
}

// like is a new node in the place of one of a file.
func (m *merger) like(n *yaml.Node) *yaml.Node {
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Line: n.Line, Column: n.Column}
	if c.Tag == tagReplace {
		c.Tag = map[yaml.Kind]string{yaml.SequenceNode: "!!seq", yaml.MappingNode: "!!map"}[n.Kind]
	}
	m.out.origins[c] = m.out.origins[n]
	return c
}

// spend tells whether there may be so many more nodes.
func (m *merger) spend(path string, n *yaml.Node, nodes int) bool {
	before := m.merged
	m.merged += nodes
	if m.merged > maxTogether && before <= maxTogether {
		m.at(path, n).Errorf("too much to merge: more than %d items", maxTogether)
	}
	return m.merged <= maxTogether
}

func (m *merger) list(path string, a, b *yaml.Node) *yaml.Node {
	list := m.like(b)
	if !m.spend(path, b, 1+len(a.Content)+len(b.Content)) {
		return list
	}
	items := slices.Clone(a.Content) // an item that is taken out is nil
	earlier := m.places(path, items)
	for _, item := range b.Content {
		switch at := m.same(path, earlier, item); {
		case m.rules.Tags && item.Tag == tagRemove:
			if at < 0 {
				m.at(path, item).Errorf("!remove %s: the list has no such item so far", item.Value).Hint("write it as it is written where it is added")
				continue
			}
			id := m.id(path, item)
			items[at], earlier[id] = nil, earlier[id][1:]
		case at >= 0 && slices.Contains(m.rules.Union, path):
		case at >= 0 && m.rules.Identity[path] != "":
			items[at] = m.value(path, items[at], item)
		case m.rules.Tags:
			items = append(items, m.value(path, nil, item))
		default:
			items = append(items, item)
		}
	}
	list.Content = slices.DeleteFunc(items, func(n *yaml.Node) bool { return n == nil })
	return list
}

// places are where the items of a list stand, by what tells them.
func (m *merger) places(path string, items []*yaml.Node) map[string][]int {
	all := map[string][]int{}
	for i, item := range items {
		if id := m.id(path, item); id != "" {
			all[id] = append(all[id], i)
		}
	}
	return all
}

// id is what tells an item of a list: its text, or the value of the key that names it.
func (m *merger) id(path string, n *yaml.Node) string {
	if n = resolve(n); n.Kind == yaml.ScalarNode {
		return n.Value
	}
	_, v := (&At{doc: m.out, node: n}).find(m.rules.Identity[path])
	if v = resolve(v); v == nil || v.Kind != yaml.ScalarNode {
		return ""
	}
	return v.Value
}

// same finds the earlier item that an item means: one of the same text, or of the same identity.
func (m *merger) same(path string, earlier map[string][]int, item *yaml.Node) int {
	if m.rules.Identity[path] == "" && item.Tag != tagRemove && !slices.Contains(m.rules.Union, path) {
		return -1
	}
	if at := earlier[m.id(path, item)]; len(at) > 0 {
		return at[0]
	}
	return -1
}

func (m *merger) mapping(path string, a, b *yaml.Node) *yaml.Node {
	both := m.like(b)
	if !m.spend(path, b, 1+len(a.Content)+len(b.Content)) {
		return both
	}
	both.Content = slices.Clone(a.Content)
	where := map[string]int{}
	for i := 0; i+1 < len(a.Content); i += 2 {
		where[a.Content[i].Value] = i
	}
	for i := 0; i+1 < len(b.Content); i += 2 {
		k, v := b.Content[i], b.Content[i+1]
		at, there := where[k.Value]
		p := join(path, k.Value)
		switch {
		case !there && m.rules.Tags:
			both.Content = append(both.Content, k, m.value(p, nil, v))
		case !there:
			both.Content = append(both.Content, k, v)
		default:
			m.once(p, both.Content[at], k)
			both.Content[at], both.Content[at+1] = k, m.value(p, both.Content[at+1], v)
		}
	}
	return m.withoutEmpty(both)
}

// withoutEmpty takes out of a mapping what says nothing, now that all of it was taken out of it.
func (m *merger) withoutEmpty(n *yaml.Node) *yaml.Node {
	if !m.rules.Tags {
		return n
	}
	var kept []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if v := resolve(n.Content[i+1]); v.Kind == yaml.ScalarNode || len(v.Content) > 0 {
			kept = append(kept, n.Content[i], n.Content[i+1])
		}
	}
	n.Content = kept
	return n
}

// once reports a key that two files have, and only one may.
func (m *merger) once(path string, first, second *yaml.Node) {
	if !slices.Contains(m.rules.Once, path) {
		return
	}
	m.at(path, second).Errorf("%s is set here and in %s, line %d", path, filepath.Base(m.out.origins[first].file), first.Line).
		Hint("only one of the files that make up a config may have %s; keep it in one of them", path)
}
