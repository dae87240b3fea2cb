package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// At is a place in a document. Problems are reported through it.
type At struct {
	doc    *Document
	node   *yaml.Node // nil for an empty document
	key    *yaml.Node // its key, where it is a value of a mapping
	path   string
	parent *At
}

// Entry is a problem just reported.
type Entry struct{ p *Problem }

// Hint adds what to do about the problem.
func (e *Entry) Hint(format string, args ...any) *Entry {
	e.p.Hint = fmt.Sprintf(format, args...)
	return e
}

// Errorf reports a problem at this place.
func (a *At) Errorf(format string, args ...any) *Entry { return a.report(false, format, args...) }

// Warnf reports something that is no reason to refuse the file.
func (a *At) Warnf(format string, args ...any) *Entry { return a.report(true, format, args...) }

func (a *At) report(warning bool, format string, args ...any) *Entry {
	p := &Problem{Path: a.path, File: a.origin().file, Message: fmt.Sprintf(format, args...), Warning: warning}
	if !a.Said() {
		p.Line, p.Column, p.EndColumn = a.place()
	}
	return a.doc.report.add(p)
}

// origin is the file that this place is in.
func (a *At) origin() *Document {
	for x := a; x != nil; x = x.parent {
		for _, n := range []*yaml.Node{x.node, x.key} {
			if d := a.doc.origins[n]; d != nil {
				return d
			}
		}
	}
	return a.doc
}

// File is the name of the file that this place is in.
func (a *At) File() string { return a.origin().file }

// Said tells that this place is in no file, but was said: File is by what.
func (a *At) Said() bool { return a.origin().dir != "" }

// Node is what stands at this place.
func (a *At) Node() *Node { return &Node{a} }

// Layer tells which file of a chain this place is in. Those of one chain are carried out one after the other.
func (a *At) Layer() int { return a.origin().layer }

// place is the node's position and where its text ends on that line. A list or mapping is shown by
// its key.
func (a *At) place() (line, column, end int) {
	n := a.node
	if n == nil || a.key != nil && (n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode || n.Value == "") {
		n = a.key
	}
	if n == nil && a.parent != nil {
		return a.parent.place()
	}
	if n == nil {
		return 1, 1, 2
	}
	if w := a.doc.written[n]; w != nil {
		n = w
	}
	text := n.Value
	if n.Kind != yaml.ScalarNode {
		text = "-"
	}
	text, _, _ = strings.Cut(text, "\n")
	width := utf8.RuneCountInString(text)
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		width += 2
	}
	return n.Line, n.Column, n.Column + max(1, width)
}

// Field is the place of a mapping's value; where the key is absent, the mapping itself.
func (a *At) Field(name string) *At {
	k, v := a.find(name)
	if v == nil {
		return &At{doc: a.doc, key: k, path: join(a.path, name), parent: a}
	}
	return &At{doc: a.doc, node: v, key: k, path: join(a.path, name), parent: a}
}

// Key is the place of a mapping's key.
func (a *At) Key(name string) *At {
	k, _ := a.find(name)
	return &At{doc: a.doc, node: k, path: join(a.path, name), parent: a}
}

// Index is the place of a list's item.
func (a *At) Index(i int) *At {
	child := &At{doc: a.doc, path: fmt.Sprintf("%s[%d]", a.path, i), parent: a}
	if n := resolve(a.node); n != nil && n.Kind == yaml.SequenceNode && i < len(n.Content) {
		child.node = n.Content[i]
	}
	return child
}

// Has tells whether a mapping has the key, with a value.
func (a *At) Has(name string) bool {
	_, v := a.find(name)
	return v != nil
}

// Place is the place that a path such as os.users[2].name names; where nothing stands there, what it would
// stand in.
func (d *Document) Place(path string) *At { return d.At().Place(path) }

// Place is the place that a path below this one names.
func (a *At) Place(path string) *At {
	at := a
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == ']' }) {
		name, index, listed := strings.Cut(name, "[")
		if name != "" {
			at = at.Field(name)
		}
		if i, err := strconv.Atoi(index); listed && err == nil {
			at = at.Index(i)
		}
	}
	return at
}

// Line is where this place is in its file, from 1.
func (a *At) Line() int {
	line, _, _ := a.place()
	return line
}

// Path is the config path of this place, such as os.users[2].name.
func (a *At) Path() string { return a.path }

// Dir is the folder of the config file that this place is in, against which relative paths resolve.
func (a *At) Dir() string {
	if dir := a.origin().dir; dir != "" {
		return dir
	}
	file := a.origin().file
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return filepath.Dir(file)
	}
	return dir
}

// CheckFiles tells whether files that the config names must exist.
func (a *At) CheckFiles() bool { return a.doc.opts.CheckFiles }

// FormOnly tells whether rules between fields, and on what a text says, are left out.
func (a *At) FormOnly() bool { return a.doc.opts.FormOnly || a.doc.opts.Part }

// Include decodes another config file that this place names, with its own places in the same report.
// A file that is not there is a problem of this place.
func (a *At) Include(file string, into any) {
	data, err := os.ReadFile(file)
	if err != nil {
		a.Errorf("cannot read %s: %s", a.relative(file), Reason(err)).Hint("relative paths are relative to the config file's folder, %s", a.Dir())
		return
	}
	if d := a.doc.report.Parse(file, data); !d.Unreadable() {
		d.Decode(into, Options{CheckFiles: a.doc.opts.CheckFiles})
	}
}

// relative is a path as it is written in a config: relative to the config file's folder where it lies below that.
func (a *At) relative(file string) string {
	if rel, err := filepath.Rel(a.Dir(), file); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return file
}

// Broken tells whether an error was found here or below: what follows from it need not be said too.
func (a *At) Broken() bool { return a.doc.report.broken[spot{a.origin().file, a.path}] }

func (a *At) find(name string) (key, value *yaml.Node) {
	n := resolve(a.node)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	if i := a.doc.report.index(n, name); i >= 0 {
		return n.Content[i], n.Content[i+1]
	}
	for _, k := range a.unsetKeys() {
		if k.Value == name {
			return k, nil
		}
	}
	return nil, nil
}

// fewKeys is how many entries of a mapping are looked through; of larger ones there is an index.
const fewKeys = 32

// index is where the first entry of that key stands in a mapping; -1 where there is none.
func (r *Report) index(n *yaml.Node, name string) int {
	if len(n.Content) > 2*fewKeys {
		known := r.indexes[n]
		if known == nil {
			known = map[string]int{}
			for i := len(n.Content) - 2; i >= 0; i -= 2 {
				known[n.Content[i].Value] = i
			}
			r.indexes[n] = known
		}
		if i, ok := known[name]; ok && i+1 < len(n.Content) && n.Content[i].Value == name {
			return i
		} else if !ok {
			return -1
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return i
		}
	}
	return -1
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// resolve follows an alias to what it names.
func resolve(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}
