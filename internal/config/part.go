package config

import (
	"slices"

	"go.yaml.in/yaml/v4"
)

// Only is the document without the other keys of its top level.
func (d *Document) Only(keys ...string) *Document {
	return d.filter(func(k string) bool { return slices.Contains(keys, k) })
}

// Without is the document without these keys of its top level.
func (d *Document) Without(keys ...string) *Document {
	return d.filter(func(k string) bool { return !slices.Contains(keys, k) })
}

func (d *Document) filter(keep func(key string) bool) *Document {
	part := *d
	n := resolve(d.root)
	if n == nil || n.Kind != yaml.MappingNode {
		return &part
	}
	part.root = &yaml.Node{Kind: n.Kind, Tag: n.Tag, Line: n.Line, Column: n.Column, Content: filterPairs(n.Content, keep)}
	if unset := filterPairs(d.unset[n], keep); len(unset) > 0 {
		d.unset[part.root] = unset
	}
	if o := d.origins[n]; o != nil {
		d.origins[part.root] = o
	}
	return &part
}

func filterPairs(pairs []*yaml.Node, keep func(key string) bool) (list []*yaml.Node) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if keep(pairs[i].Value) {
			list = append(list, pairs[i], pairs[i+1])
		}
	}
	return list
}

// Tagged tells whether something in the document says how it is merged.
func (d *Document) Tagged() bool { return tagged(d.root, map[*yaml.Node]bool{}) }

func tagged(n *yaml.Node, seen map[*yaml.Node]bool) bool {
	n = resolve(n)
	if n == nil || seen[n] {
		return false
	}
	seen[n] = true
	return n.Tag == tagReplace || n.Tag == tagRemove || slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return tagged(c, seen) })
}

// Document is the node as a document of its own, in the same report.
func (n *Node) Document() *Document {
	d := *n.at.doc
	d.root, d.file = n.at.node, n.at.origin().file
	return &d
}

// Root is the document's topmost node.
func (d *Document) Root() *Node { return &Node{d.At()} }

// Raw is a node that is decoded later, when it is known what it is.
type Raw struct{ *Node }

// TakesEmpty tells that an empty list or mapping may stand there.
func (Raw) TakesEmpty(Kind) bool { return true }

// UnmarshalConfig keeps the node.
func (r *Raw) UnmarshalConfig(n *Node) { r.Node = n }
