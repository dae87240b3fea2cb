package config

import (
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Plain is the document as maps, lists and scalars, as a JSON schema's validator takes it: as an editor
// reads the file, before what has no value is taken out of it.
func (d *Document) Plain() any { return d.plain(d.root, 0) }

func (d *Document) plain(n *yaml.Node, depth int) any {
	n = resolve(n)
	switch {
	case kindOf(n) == Null || depth > maxDepth:
		return nil
	case n.Kind == yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			list = append(list, d.plain(c, depth+1))
		}
		return list
	case n.Kind == yaml.MappingNode:
		m := map[string]any{}
		for _, pairs := range [][]*yaml.Node{n.Content, d.unset[n]} {
			for i := 0; i+1 < len(pairs); i += 2 {
				m[pairs[i].Value] = d.plain(pairs[i+1], depth+1)
			}
		}
		return m
	}
	return plainScalar(n)
}

func plainScalar(n *yaml.Node) any {
	switch n.Tag {
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if f, ok := number(n.Value); ok {
			return f
		}
	}
	return n.Value
}

// number reads a number as YAML 1.2 does, in which a leading zero means nothing.
func number(text string) (float64, bool) {
	if digits, octal := strings.CutPrefix(text, "0o"); octal {
		i, err := strconv.ParseInt(digits, 8, 64)
		return float64(i), err == nil
	}
	if digits, hex := strings.CutPrefix(text, "0x"); hex {
		i, err := strconv.ParseInt(digits, 16, 64)
		return float64(i), err == nil
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) && !strings.ContainsAny(text, "_xXpP")
}

// wholeNumber reads a whole number that fits a float, in any way that YAML writes numbers, or as a text of
// digits.
func wholeNumber(n *yaml.Node) (int64, bool) {
	if n.Tag == "!!str" {
		i, err := strconv.ParseInt(n.Value, 10, 64)
		return i, err == nil
	}
	f, ok := number(n.Value)
	const most = 1 << 53
	if n.Tag != "!!int" && n.Tag != "!!float" || !ok || f != math.Trunc(f) || math.Abs(f) > most {
		return 0, false
	}
	return int64(f), true
}
