package legacy

import (
	"reflect"
	"slices"

	"imagecustomizer/internal/config"
	"imagecustomizer/internal/feature/files"
)

// AdditionalFiles maps a source to one destination or several, each written as a path or as an
// object.
type AdditionalFiles struct{ list []files.AdditionalFile }

// destination is where a file goes, and its permissions.
type destination struct {
	Path        files.ImagePath    `yaml:"Path" required:"true" doc:"Absolute path in the image."`
	Permissions config.Permissions `yaml:"Permissions" doc:"Permission bits in octal. Default: those of the source."`
}

// destinations is the value of a source: one destination, in either way, or a list of them.
type destinations struct{}

// Forms are the ways to write it.
func (destinations) Forms() []reflect.Type {
	return []reflect.Type{reflect.TypeFor[files.ImagePath](), reflect.TypeFor[destination](), reflect.TypeFor[[]oneDestination]()}
}

// oneDestination is an item of the list.
type oneDestination struct{}

// Forms are the ways to write it.
func (oneDestination) Forms() []reflect.Type {
	return []reflect.Type{reflect.TypeFor[files.ImagePath](), reflect.TypeFor[destination]()}
}

// Forms is a mapping.
func (AdditionalFiles) Forms() []reflect.Type {
	return []reflect.Type{reflect.TypeFor[map[string]destinations]()}
}

// UnmarshalConfig takes the four ways to write a destination.
func (f *AdditionalFiles) UnmarshalConfig(n *config.Node) {
	if n.Kind() != config.Map {
		n.At().Errorf("AdditionalFiles: expected a mapping from source files to destinations").Hint("write \"source: /destination\"")
		return
	}
	for _, p := range n.Unset() {
		p.KeyAt.Errorf("%s has no destination", p.Key).Hint("write a path, or remove the line")
	}
	for _, p := range n.Pairs() {
		var source config.Path
		source.UnmarshalScalar(p.Key, p.KeyAt)
		source.NeedFile(p.KeyAt)
		nodes := []*config.Node{p.Value}
		if p.Value.Kind() == config.List {
			nodes = p.Value.Items()
		}
		for _, d := range nodes {
			f.add(source, d)
		}
	}
}

func (f *AdditionalFiles) add(source config.Path, n *config.Node) {
	var d destination
	if n.Kind() == config.Text {
		n.Decode(&d.Path)
	} else {
		n.Decode(&d)
	}
	if d.Path != "" {
		files.CheckKept(string(d.Path), n.At())
	}
	if slices.ContainsFunc(f.list, func(o files.AdditionalFile) bool { return o.Destination == d.Path && d.Path != "" }) {
		n.At().Warnf("%s is the destination of two files: this one overwrites the other", d.Path).Hint("remove one of them, or choose another destination")
	}
	f.list = append(f.list, files.AdditionalFile{Source: source, Destination: d.Path, Permissions: d.Permissions})
}
