package config

import (
	"encoding/base64"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A document is brought into one form before anything looks at it: merge keys are carried out, binary text
// is decoded, and what has no value (null, an empty list or section) is taken out of its mapping, so that it
// means "not set" everywhere. It is kept aside, for unknown keys and required values are still reported.

// normalizer brings a tree into that form.
type normalizer struct {
	doc     *Document
	seen    map[*yaml.Node]bool // in work, or done
	working map[*yaml.Node]bool
	merged  int
}

// maxMerged bounds the entries that merge keys add, in documents made to exhaust the reader.
const maxMerged = 10_000

func (d *Document) normalize() {
	d.unset = map[*yaml.Node][]*yaml.Node{}
	(&normalizer{doc: d, seen: map[*yaml.Node]bool{}, working: map[*yaml.Node]bool{}}).visit(d.root, 0)
}

func (z *normalizer) visit(n *yaml.Node, depth int) {
	n = resolve(n)
	if n == nil || z.seen[n] || depth > 2*maxDepth {
		return
	}
	z.seen[n], z.working[n] = true, true
	if n.Kind == yaml.MappingNode {
		z.merge(n, depth)
	}
	for _, c := range n.Content {
		z.visit(c, depth+1)
	}
	switch {
	case n.Kind == yaml.MappingNode:
		z.prune(n)
	case n.Kind == yaml.ScalarNode && n.Tag == "!!binary":
		z.decode(n)
	}
	delete(z.working, n)
}

func (z *normalizer) fail(n *yaml.Node, format string, args ...any) *Entry {
	return (&At{doc: z.doc, node: n}).Errorf(format, args...)
}

func (z *normalizer) decode(n *yaml.Node) {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
	if err != nil {
		z.fail(n, "this is tagged !!binary, but is no base64: %v", err)
		return
	}
	n.Value, n.Tag = string(data), "!!str"
}

// merge puts the entries that merge keys name behind those of the mapping itself, which win.
func (z *normalizer) merge(n *yaml.Node, depth int) {
	var own, sources []*yaml.Node
	has := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Tag != "!!merge" {
			own = append(own, k, v)
			has[k.Value] = true
			continue
		}
		if has["\x00merge"] {
			z.fail(k, "%q is here twice", k.Value).Hint("merge a list: \"<<: [*a, *b]\"")
		}
		has["\x00merge"] = true
		sources = append(sources, z.sources(v)...)
	}
	n.Content = own
	for _, s := range sources {
		z.visit(s, depth+1)
		if z.working[s] {
			z.fail(s, "a mapping cannot be merged into itself")
			continue
		}
		z.add(n, s, has)
	}
}

// sources are the mappings that the value of a merge key names.
func (z *normalizer) sources(v *yaml.Node) []*yaml.Node {
	list := []*yaml.Node{v}
	switch n := resolve(v); {
	case kindOf(n) == Null:
		return nil
	case n.Kind == yaml.SequenceNode:
		list = n.Content
	}
	var found []*yaml.Node
	for _, item := range list {
		if n := resolve(item); n.Kind == yaml.MappingNode {
			found = append(found, n)
			continue
		}
		z.fail(item, "\"<<\" merges a mapping, or a list of mappings").Hint("write \"<<: *name\", with the anchor of a mapping")
	}
	return found
}

// add adds the entries of a merged mapping that are not there yet, those without a value among them.
func (z *normalizer) add(n, source *yaml.Node, has map[string]bool) {
	pairs := append(append([]*yaml.Node{}, source.Content...), z.doc.unset[source]...)
	for i := 0; i+1 < len(pairs); i += 2 {
		if k := pairs[i]; !has[k.Value] {
			has[k.Value] = true
			n.Content = append(n.Content, k, pairs[i+1])
		}
		if z.merged++; z.merged == maxMerged {
			z.fail(n, "too many merge keys")
		}
		if z.merged >= maxMerged {
			return
		}
	}
}

// prune takes entries without a value out of a mapping.
func (z *normalizer) prune(n *yaml.Node) {
	var kept, unset []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if z.nothing(resolve(v)) {
			unset = append(unset, k, v)
		} else {
			kept = append(kept, k, v)
		}
	}
	if len(unset) > 0 {
		n.Content, z.doc.unset[n] = kept, unset
	}
}

// nothing tells whether a value is null, or a list or section without content as it is written.
func (z *normalizer) nothing(n *yaml.Node) bool {
	return kindOf(n) == Null && n.Tag != tagRemove || n.Tag != tagReplace && n.Kind != yaml.ScalarNode && len(n.Content)+len(z.doc.unset[n]) == 0
}

// unsetKeys are the keys of a mapping that have no value.
func (a *At) unsetKeys() (keys []*yaml.Node) {
	pairs := a.doc.unset[resolve(a.node)]
	for i := 0; i < len(pairs); i += 2 {
		keys = append(keys, pairs[i])
	}
	return keys
}

// valueOf is the value of a key that has none that counts: null, or something empty.
func (d *Document) valueOf(n, key *yaml.Node) *yaml.Node {
	pairs := d.unset[n]
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == key {
			return resolve(pairs[i+1])
		}
	}
	return nil
}

// Unset lists the keys of a mapping that have no value that counts. Value is nil, or a list or mapping that is empty.
func (n *Node) Unset() (keys []Pair) {
	for _, k := range n.at.unsetKeys() {
		place := &At{doc: n.at.doc, node: k, path: join(n.at.path, k.Value), parent: n.at}
		p := Pair{Key: k.Value, KeyAt: place}
		if v := n.at.doc.valueOf(resolve(n.at.node), k); kindOf(v) != Null {
			p.Value = &Node{&At{doc: n.at.doc, node: v, key: k, path: place.path, parent: n.at}}
		}
		keys = append(keys, p)
	}
	return keys
}
