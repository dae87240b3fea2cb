package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Document is one parsed config file.
type Document struct {
	file   string
	root   *yaml.Node
	report *Report
	opts   Options
	schema reflect.Type // of the value decoded into

	unset map[*yaml.Node][]*yaml.Node // entries of a mapping that have no value
}

// MaxSize bounds a config file; the largest real ones have some hundred lines.
const MaxSize = 4 << 20

// Parse reads a YAML document, of which JSON is a subset. Syntax errors are in the report.
func Parse(file string, data []byte) (*Document, *Report) {
	r := &Report{sources: map[string][]string{}}
	d := &Document{file: file, report: r}
	d.parse(data)
	return d, r
}

// ReadFile is Parse of a file; that it cannot be read is a problem too.
func ReadFile(file string) (*Document, *Report) {
	data, err := os.ReadFile(file)
	if err != nil {
		r := &Report{sources: map[string][]string{}}
		r.problems = append(r.problems, &Problem{File: file, Message: "cannot read the file: " + reason(err)})
		return &Document{file: file, report: r}, r
	}
	return Parse(file, data)
}

// reason is an error without the path that the reader sees anyway.
func reason(err error) string {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

func (d *Document) parse(data []byte) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	d.report.sources[d.file] = strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	if len(data) > MaxSize {
		d.fail(0, 0, fmt.Sprintf("the file has %d bytes: a config is never that large", len(data)), "")
		return
	}
	if line, column, ok := invalidUTF8(data); !ok {
		d.fail(line, column, "the file is not valid UTF-8 here", "save it as UTF-8")
		return
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithV4Defaults())
	if err != nil {
		d.fail(0, 0, err.Error(), "")
		return
	}
	var root, second yaml.Node
	if err := loader.Load(&root); err != nil {
		if !errors.Is(err, io.EOF) {
			d.syntax(err)
		}
		return
	}
	d.root = &root
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		d.root = root.Content[0]
	}
	if err := loader.Load(&second); err == nil {
		line := max(1, second.Line)
		d.fail(line, 1, "the file holds a second YAML document", "keep one document a file; remove the \"---\"")
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
	}
	d.normalize()
}

func invalidUTF8(data []byte) (line, column int, ok bool) {
	line, column = 1, 1
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == utf8.RuneError && n == 1 {
			return line, column, false
		}
		if column++; r == '\n' {
			line, column = line+1, 1
		}
		data = data[n:]
	}
	return 0, 0, true
}

// syntax reports the YAML library's errors. What cannot be read as YAML may be a password with a quote too
// many: values of such keys are left out of what is shown.
func (d *Document) syntax(err error) {
	lines := d.report.sources[d.file]
	for i, l := range lines {
		lines[i] = delicateLine.ReplaceAllString(l, "$1 ***")
	}
	if many, ok := errors.AsType[*yaml.LoadErrors](err); ok {
		for _, e := range many.Errors {
			d.misread(e)
		}
		return
	}
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		d.misread(e)
		return
	}
	d.fail(0, 0, err.Error(), "")
}

// misread reports what the YAML library could not read. What is never closed is shown where it is opened: the end of
// the file says nothing.
func (d *Document) misread(e *yaml.LoadError) {
	unclosed := map[string]string{
		"while scanning a quoted scalar": "a quote is not closed", "while parsing a flow sequence": "a [ is not closed",
		"while parsing a flow mapping": "a { is not closed",
	}[e.ContextMsg]
	ends := strings.Contains(e.Message, "unexpected end of stream") || e.Mark.Line > e.ContextMark.Line
	if unclosed != "" && ends && e.ContextMark.Line > 0 {
		d.fail(e.ContextMark.Line, e.ContextMark.Column, unclosed, "")
		return
	}
	d.fail(e.Mark.Line, e.Mark.Column, e.Message, syntaxHint(e.Message))
}

func syntaxHint(message string) string {
	switch {
	case strings.Contains(message, "cannot start any token"):
		return "YAML is indented with spaces; a tab, or one of @ ` %, cannot begin a value: put it in quotes"
	case strings.Contains(message, "mapping values are not allowed"):
		return "check the indentation, and put a value that holds \": \" in quotes"
	case strings.Contains(message, "did not find expected"):
		return "check the indentation of this line and the one above"
	}
	return ""
}

func (d *Document) fail(line, column int, message, hint string) {
	d.report.problems = append(d.report.problems, &Problem{
		File: d.file, Line: line, Column: max(1, column), EndColumn: max(1, column) + 1, Message: message, Hint: hint,
	})
}

// Keys lists the keys at the top level, by which schemas are told apart.
func (d *Document) Keys() []string {
	var keys []string
	if d.root != nil && d.root.Kind == yaml.MappingNode {
		for i := 0; i < len(d.root.Content); i += 2 {
			keys = append(keys, d.root.Content[i].Value)
		}
	}
	for _, k := range d.At().unsetKeys() {
		keys = append(keys, k.Value)
	}
	return keys
}

// At is the place of the document's top level.
func (d *Document) At() *At { return &At{doc: d, node: d.root} }

// Options are what a decoder is to do besides decoding.
type Options struct {
	CheckFiles bool // files that the config names must exist
	// Unsupported maps a config path, such as "os.uki", to the reason why it is refused.
	Unsupported map[string]string
	// FormOnly leaves out the rules between fields and on files, which a JSON schema cannot have: the test of
	// the schema compares what is left.
	FormOnly bool
}

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
func (a *At) Errorf(format string, args ...any) *Entry {
	p := &Problem{Path: a.path, File: a.doc.file, Message: fmt.Sprintf(format, args...)}
	p.Line, p.Column, p.EndColumn = a.place()
	a.doc.report.problems = append(a.doc.report.problems, p)
	return &Entry{p}
}

// Warnf reports something that is no reason to refuse the file.
func (a *At) Warnf(format string, args ...any) *Entry {
	e := a.Errorf(format, args...)
	e.p.Warning = true
	return e
}

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
func (d *Document) Place(path string) *At {
	at := d.At()
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

// Dir is the folder of the config file, against which relative paths resolve.
func (a *At) Dir() string {
	dir, err := filepath.Abs(filepath.Dir(a.doc.file))
	if err != nil {
		return filepath.Dir(a.doc.file)
	}
	return dir
}

// CheckFiles tells whether files that the config names must exist.
func (a *At) CheckFiles() bool { return a.doc.opts.CheckFiles }

// FormOnly tells whether rules between fields, and on what a text says, are left out.
func (a *At) FormOnly() bool { return a.doc.opts.FormOnly }

// Include decodes another config file that this place names, with its own places in the same report.
// A file that is not there is a problem of this place.
func (a *At) Include(file string, into any) {
	if _, err := os.ReadFile(file); err != nil {
		a.Errorf("cannot read %s: %s", a.relative(file), reason(err)).Hint("relative paths are relative to the config file's folder, %s", a.Dir())
		return
	}
	d, r := ReadFile(file)
	if !r.Failed() {
		d.Decode(into, Options{CheckFiles: a.doc.opts.CheckFiles})
	}
	a.doc.report.problems = append(a.doc.report.problems, r.problems...)
	for f, lines := range r.sources {
		a.doc.report.sources[f] = lines
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
func (a *At) Broken() bool {
	return slices.ContainsFunc(a.doc.report.problems, func(p *Problem) bool {
		rest, below := strings.CutPrefix(p.Path, a.path)
		return !p.Warning && p.File == a.doc.file && below && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

func (a *At) find(name string) (key, value *yaml.Node) {
	n := resolve(a.node)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i], n.Content[i+1]
		}
	}
	for _, k := range a.unsetKeys() {
		if k.Value == name {
			return k, nil
		}
	}
	return nil, nil
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

// Empty tells whether the document holds nothing, and nothing is wrong with it.
func (d *Document) Empty() bool { return kindOf(resolve(d.root)) == Null && !d.report.Failed() }
