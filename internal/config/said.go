package config

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Say is a document that says one thing: the value at a path such as os.packages.install. It stands in no file: problems
// are reported of name, and relative paths begin at the directory dir.
func (r *Report) Say(name, dir, path string, value any) (*Document, error) {
	keys := strings.Split(path, ".")
	for i := range keys {
		value = map[string]any{keys[len(keys)-1-i]: value}
	}
	var b bytes.Buffer
	dumper, err := yaml.NewDumper(&b, yaml.WithV4Defaults())
	if err != nil {
		return nil, err
	}
	if err := dumper.Dump(value); err != nil {
		return nil, err
	}
	if err := dumper.Close(); err != nil {
		return nil, err
	}
	d := r.Parse(name, b.Bytes())
	d.dir = dir
	return d, nil
}

// InRounds is a document that says what the last of these does and, in a list below a key, what the others do.
func InRounds(key string, docs []*Document) *Document {
	last := docs[len(docs)-1]
	if len(docs) == 1 {
		return last
	}
	out := &Document{
		file: last.file, dir: last.dir, report: last.report,
		unset: map[*yaml.Node][]*yaml.Node{}, origins: map[*yaml.Node]*Document{}, written: map[*yaml.Node]*yaml.Node{},
	}
	m := merger{out: out}
	rounds := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for i, d := range docs {
		m.adopt(d, d.root, 0)
		if i < len(docs)-1 {
			rounds.Content = append(rounds.Content, d.root)
		}
	}
	name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}
	out.root = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: append([]*yaml.Node{name, rounds}, resolve(last.root).Content...)}
	for _, n := range []*yaml.Node{name, rounds, out.root} {
		out.origins[n] = out.origins[docs[0].root]
	}
	return out
}
