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
