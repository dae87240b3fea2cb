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
}

// Merge is what several documents say together, the later ones last. They share one report.
func Merge(docs []*Document, rules Rules) *Document {
	out := &Document{
		file: docs[len(docs)-1].file, report: docs[0].report,
		unset: map[*yaml.Node][]*yaml.Node{}, origins: map[*yaml.Node]*Document{},
	}
	m := merger{rules: rules, out: out}
	for i, d := range docs {
		d.layer = i
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

// maxTogether bounds the mappings that are merged, of files made to exhaust the reader by mappings that alias
// each other.
const maxTogether = 100_000

// adopt notes for all nodes of a tree which file they are of.
func (m *merger) adopt(d *Document, n *yaml.Node, depth int) {
	if n == nil || m.out.origins[n] != nil || depth > 2*maxDepth {
		return
	}
	m.out.origins[n] = d
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
	m.out.origins[c] = m.out.origins[n]
	return c
}

func (m *merger) list(path string, a, b *yaml.Node) *yaml.Node {
	list := m.like(b)
	list.Content = slices.Clone(a.Content)
	for _, item := range b.Content {
		same := func(n *yaml.Node) bool { return resolve(n).Value == resolve(item).Value }
		if !slices.Contains(m.rules.Union, path) || !slices.ContainsFunc(list.Content, same) {
			list.Content = append(list.Content, item)
		}
	}
	return list
}

func (m *merger) mapping(path string, a, b *yaml.Node) *yaml.Node {
	both := m.like(b)
	if m.merged++; m.merged > maxTogether {
		if m.merged == maxTogether+1 {
			m.at(path, b).Errorf("too much to merge: more than %d mappings", maxTogether)
		}
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
		if !there {
			both.Content = append(both.Content, k, v)
			continue
		}
		p := join(path, k.Value)
		m.once(p, both.Content[at], k)
		both.Content[at], both.Content[at+1] = k, m.value(p, both.Content[at+1], v)
	}
	return both
}

// once reports a key that two files have, and only one may.
func (m *merger) once(path string, first, second *yaml.Node) {
	if !slices.Contains(m.rules.Once, path) {
		return
	}
	m.at(path, second).Errorf("%s is set here and in %s, line %d", path, filepath.Base(m.out.origins[first].file), first.Line).
		Hint("only one of the files that make up a config may have %s; keep it in one of them", path)
}
