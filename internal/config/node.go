package config

import (
	"reflect"

	"go.yaml.in/yaml/v4"
)

// Kind is what a node is.
type Kind int

// Kinds of nodes.
const (
	Null Kind = iota
	Text
	List
	Map
)

// Node is a value not yet decoded, for an Unmarshaler.
type Node struct{ at *At }

// Pair is one entry of a mapping.
type Pair struct {
	Key   string
	KeyAt *At
	Value *Node
}

// Kind tells what the node is.
func (n *Node) Kind() Kind { return kindOf(resolve(n.at.node)) }

// Text is the source text of a scalar.
func (n *Node) Text() string { return resolve(n.at.node).Value }

// At is the node's place.
func (n *Node) At() *At { return n.at }

// Items are the items of a list.
func (n *Node) Items() []*Node {
	var items []*Node
	for i := range resolve(n.at.node).Content {
		items = append(items, &Node{n.at.Index(i)})
	}
	return items
}

// Pairs are the entries of a mapping, in order.
func (n *Node) Pairs() []Pair {
	var pairs []Pair
	content := resolve(n.at.node).Content
	for i := 0; i+1 < len(content); i += 2 {
		name := content[i].Value
		pairs = append(pairs, Pair{name, n.at.Key(name), &Node{n.at.Field(name)}})
	}
	return pairs
}

// Decode decodes the node strictly into what into points to, and validates it.
func (n *Node) Decode(into any) {
	if n.Kind() == Null {
		n.at.Errorf("this item is empty").Hint("remove it, or write its value")
		return
	}
	d := decoder{}
	d.value(n.at, reflect.ValueOf(into).Elem())
	d.validate()
}

func kindOf(n *yaml.Node) Kind {
	switch {
	case n == nil, n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return Null
	case n.Kind == yaml.ScalarNode:
		return Text
	case n.Kind == yaml.SequenceNode:
		return List
	default:
		return Map
	}
}
