// Package docgen makes the reference pages and the editor's schema from the types and flags
// themselves, so that they cannot disagree.
package docgen

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"imagecustomizer/internal/config"
)

// shape is how a type is written in a config.
type shape struct {
	kind   string         // text, number, boolean, list, mapping, or a section's name
	values []string       // of an enumeration
	item   reflect.Type   // of a list or mapping
	fields []config.Field // of a section
	forms  []reflect.Type // of what is written in several ways
	form   config.Form    // of a text
}

var (
	enumType         = reflect.TypeFor[config.Enum]()
	formedType       = reflect.TypeFor[config.Formed]()
	alternativesType = reflect.TypeFor[config.Alternatives]()
)

func shapeOf(t reflect.Type) shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[config.Permissions]():
		return shape{kind: "octal permissions"}
	case t.Implements(alternativesType):
		return shape{kind: "alternatives", forms: reflect.Zero(t).Interface().(config.Alternatives).Forms()}
	case t.Implements(formedType):
		f := reflect.Zero(t).Interface().(config.Formed).Describe()
		return shape{kind: f.Kind, form: f}
	case t.Implements(enumType):
		return shape{kind: "one of", values: reflect.Zero(t).Interface().(config.Enum).Values()}
	}
	switch t.Kind() {
	case reflect.Bool:
		return shape{kind: "true or false"}
	case reflect.Int, reflect.Int64:
		return shape{kind: "number"}
	case reflect.Slice:
		return shape{kind: "list", item: t.Elem()}
	case reflect.Map:
		return shape{kind: "mapping", item: t.Elem()}
	case reflect.Struct:
		return shape{kind: "section", fields: config.Fields(t)}
	default:
		return shape{kind: "text"}
	}
}

// describe is a type in words, for a table.
func describe(t reflect.Type) string {
	s := shapeOf(t)
	switch s.kind {
	case "one of":
		words := make([]string, len(s.values))
		for i, v := range s.values {
			words[i] = "`" + quoteEmpty(v) + "`"
		}
		return strings.Join(words, ", ")
	case "list":
		return "list of " + describe(s.item)
	case "mapping":
		return "mapping of text to " + describe(s.item)
	case "alternatives":
		var words []string
		for _, f := range s.forms {
			words = append(words, describe(f))
		}
		return strings.Join(words, ", or ")
	}
	return s.kind
}

func quoteEmpty(s string) string {
	if s == "" {
		return `""`
	}
	return s
}

// Configuration writes the tables of every section, outermost first.
func Configuration(w io.Writer, root reflect.Type) {
	section(w, root, "", 2)
}

func section(w io.Writer, t reflect.Type, path string, depth int) {
	fields := shapeOf(t).fields
	if path != "" {
		fmt.Fprintf(w, "%s %s\n\n", strings.Repeat("#", min(depth, 6)), path)
	}
	fmt.Fprint(w, "| Key | Value | Default | Meaning |\n|---|---|---|---|\n")
	for _, f := range fields {
		fmt.Fprintf(w, "| `%s`%s | %s | %s | %s |\n", f.Key, required(f), describe(f.Type), code(f.Default), strings.ReplaceAll(f.Doc, "|", "\\|")+example(f))
	}
	fmt.Fprintln(w)
	for _, f := range fields {
		inner, suffix := f.Type, ""
		for s := shapeOf(inner); s.item != nil || s.forms != nil; s = shapeOf(inner) {
			if s.item != nil {
				inner, suffix = s.item, "[]"
				continue
			}
			inner = s.forms[len(s.forms)-1] // the longest form is the last
		}
		if len(shapeOf(inner).fields) > 0 {
			section(w, inner, join(path, f.Key)+suffix, depth+1)
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func required(f config.Field) string {
	if f.Required {
		return " (required)"
	}
	return ""
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func example(f config.Field) string {
	if f.Example == "" {
		return ""
	}
	return " Example: `" + f.Example + "`"
}

// Undocumented lists the config paths below root whose field has no description.
func Undocumented(root reflect.Type) (paths []string) {
	var visit func(t reflect.Type, path string)
	visit = func(t reflect.Type, path string) {
		s := shapeOf(t)
		if s.item != nil {
			visit(s.item, path+"[]")
		}
		for _, f := range s.forms {
			visit(f, path)
		}
		for _, f := range s.fields {
			if f.Doc == "" {
				paths = append(paths, join(path, f.Key))
			}
			visit(f.Type, join(path, f.Key))
		}
	}
	visit(root, "")
	return paths
}

// CLI writes a table of flags for every command.
func CLI(w io.Writer, k *kong.Kong) {
	fmt.Fprintf(w, "## Every command\n\n")
	flags(w, k.Model.Flags)
	for _, c := range k.Model.Children {
		command(w, c, c.Name)
	}
}

// command writes what a command takes, and then its subcommands.
func command(w io.Writer, c *kong.Node, name string) {
	fmt.Fprintf(w, "%s %s\n\n%s\n\n", strings.Repeat("#", 1+len(strings.Fields(name))), name, c.Help)
	if len(c.Positional) > 0 {
		fmt.Fprint(w, "| Argument | Meaning |\n|---|---|\n")
		for _, p := range c.Positional {
			fmt.Fprintf(w, "| `%s` | %s |\n", p.Summary(), cell(p.Help))
		}
		fmt.Fprintln(w)
	}
	flags(w, c.Flags)
	for _, sub := range c.Children {
		command(w, sub, name+" "+sub.Name)
	}
}

func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

func flags(w io.Writer, list []*kong.Flag) {
	if len(list) == 0 {
		return
	}
	fmt.Fprint(w, "| Flag | Meaning |\n|---|---|\n")
	for _, f := range list {
		name := "--" + f.Name
		if !f.IsBool() {
			name += " " + f.FormatPlaceHolder()
		}
		for _, a := range f.Aliases {
			name += ", --" + a
		}
		text := f.Help
		if f.Required {
			text += " Required."
		}
		if f.HasDefault && f.Default != "" && !f.IsBool() {
			text += " Default: " + f.Default + "."
		}
		fmt.Fprintf(w, "| `%s` | %s |\n", name, cell(text))
	}
	fmt.Fprintln(w)
}

// Examples returns the fenced yaml blocks of a Markdown text. A block whose info string goes on after
// "yaml" is no whole config and is left out.
func Examples(markdown string) (list []string) {
	var block []string
	inside := false
	for line := range strings.Lines(markdown) {
		trimmed := strings.TrimSpace(line)
		switch {
		case !inside && trimmed == "```yaml":
			inside, block = true, nil
		case inside && trimmed == "```":
			inside = false
			list = append(list, dedent(block))
		case inside:
			block = append(block, line)
		}
	}
	return list
}

// dedent removes the indentation that a block has in a list.
func dedent(lines []string) string {
	indent := -1
	for _, l := range lines {
		if strings.TrimSpace(l) != "" {
			n := len(l) - len(strings.TrimLeft(l, " "))
			if indent < 0 || n < indent {
				indent = n
			}
		}
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l[min(max(indent, 0), len(l)-1):])
	}
	return b.String()
}
