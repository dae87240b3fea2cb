package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Document is one parsed config file, or what several of them say together.
type Document struct {
	file   string
	dir    string // where relative paths begin, of a document that stands in no file
	root   *yaml.Node
	report *Report
	opts   Options
	schema reflect.Type // of the value decoded into

	unreadable bool // as YAML, or what its merge keys say cannot be carried out

	unset map[*yaml.Node][]*yaml.Node // entries of a mapping that have no value

	origins map[*yaml.Node]*Document // of a document made of several: the file that each node stands in
	layer   int                      // of a file in a chain: which it is

	written map[*yaml.Node]*yaml.Node // what a file has in the place of a node
	secrets map[*yaml.Node]secrecy    // texts that hold secret variables
}

// MaxSize bounds a config file; the largest real ones have some hundred lines.
const MaxSize = 4 << 20

// Parse reads a YAML document, of which JSON is a subset. Syntax errors are in the report.
func Parse(file string, data []byte) (*Document, *Report) {
	r := NewReport()
	return r.Parse(file, data), r
}

// Parse reads a YAML document whose problems belong to this report.
func (r *Report) Parse(file string, data []byte) *Document {
	d := &Document{file: file, report: r}
	before := r.found
	d.parse(data)
	d.unreadable = r.found > before // nothing of this is a warning
	return d
}

// ReadFile is Parse of a file; that it cannot be read is a problem too.
func ReadFile(file string) (*Document, *Report) {
	data, err := os.ReadFile(file)
	if err != nil {
		r := NewReport()
		r.add(&Problem{File: file, Message: "cannot read the file: " + Reason(err)})
		return &Document{file: file, report: r}, r
	}
	return Parse(file, data)
}

// Reason is an error without the path that the reader sees anyway.
func Reason(err error) string {
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
	d.suspect(d.root, false, map[*yaml.Node]bool{})
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
	scrub(d.report.sources[d.file])
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
	d.report.add(&Problem{
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
	// Also are keys of the top level that another part of the program reads: hints know them.
	Also []string
	// Part is for what is merged with other parts: like FormOnly, and nothing is missing.
	Part bool
}

// Unreadable tells whether the text cannot be decoded.
func (d *Document) Unreadable() bool { return d.unreadable }

// Empty tells whether the document holds nothing, and nothing is wrong with it.
func (d *Document) Empty() bool { return kindOf(resolve(d.root)) == Null && !d.report.Failed() }
